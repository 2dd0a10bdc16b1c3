"""An Airflow DAG that retrains every night: put the file into the folder of DAGs.

Nothing of recstack is needed where Airflow parses it. Where the task runs, the environment variable RECSTACK names the
program and RECSTACK_CONFIG its configuration.
"""

import os
import subprocess
from datetime import UTC, datetime, timedelta

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

# Wrong input, and models that the gate refused: a person is wanted, and trying again changes nothing.
FOR_A_PERSON = {2: "wrong configuration or input", 3: "the gate refused the models; the live ones stay"}


@dag(
    dag_id="recstack_retrain",
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["recstack"],
)
def recstack_retrain() -> None:
    """New data to published models, if the gate passes them."""

    # A task that failed or was killed goes on where it was.
    @task(retries=3, retry_delay=timedelta(minutes=10), execution_timeout=timedelta(hours=6))
    def retrain() -> None:
        program = os.environ.get("RECSTACK", "recstack")
        config = os.environ.get("RECSTACK_CONFIG", "/etc/recstack/stack.toml")
        code = subprocess.run([program, "retrain", "--config", config], check=False).returncode
        if code in FOR_A_PERSON:
            raise AirflowFailException(FOR_A_PERSON[code])
        if code != 0:
            raise AirflowException(f"recstack retrain ended with code {code}; its last line says why")

    retrain()


recstack_retrain()
