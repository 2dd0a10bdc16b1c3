#!/usr/bin/env bash
# A Flink cluster on this machine: one job manager, task managers and Beam's job service.
#
#   deploy/beam/flink/cluster.sh start DIRECTORY [TASK_MANAGERS]    # 2 task managers of 2 slots each
#   recstack prepare --config stack.toml                            # with the runner_options of ../README.md
#   deploy/beam/flink/cluster.sh stop DIRECTORY
#
# Needs Java 11 or 17 and Maven, and recstack's Python first on the PATH. Logs and process ids lie in DIRECTORY. Another
# cluster on the same machine needs other ports: FLINK_REST_PORT, FLINK_RPC_PORT, BEAM_JOB_PORT, BEAM_ARTIFACT_PORT and
# BEAM_EXPANSION_PORT.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=${2:?the directory for logs and process ids}
rest_port=${FLINK_REST_PORT:-18081}
ports=(-D "rest.port=$rest_port" -D "jobmanager.rpc.port=${FLINK_RPC_PORT:-18123}")

run() { # NAME COMMAND...: in the background, in a process group of its own
  local name=$1
  shift
  setsid "$@" >"$directory/$name.log" 2>&1 &
  echo $! >"$directory/$name.pid"
}

start() {
  mkdir -p "$directory/conf"
  mvn --batch-mode --quiet -f "$here/pom.xml" dependency:build-classpath "-Dmdep.outputFile=$directory/classpath"
  cp "$here/flink-conf.yaml" "$directory/conf/"
  local opens=() name
  for name in lang lang.reflect io net nio text time util util.concurrent util.concurrent.atomic util.concurrent.locks; do
    opens+=("--add-opens=java.base/java.$name=ALL-UNNAMED")
  done
  opens+=(--add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-exports=java.base/sun.net.util=ALL-UNNAMED)
  opens+=(--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED --add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED)
  local java=(java "${opens[@]}" -cp "$(cat "$directory/classpath")")
  run jobmanager "${java[@]}" -Xmx512m \
    org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --configDir "$directory/conf" "${ports[@]}"
  local number
  for number in $(seq "${3:-2}"); do
    run "taskmanager-$number" "${java[@]}" -Xmx512m -XX:MaxDirectMemorySize=512m \
      org.apache.flink.runtime.taskexecutor.TaskManagerRunner --configDir "$directory/conf" "${ports[@]}" \
      -D "taskmanager.resource-id=taskmanager-$number"
  done
  run jobservice "${java[@]}" -Xmx512m org.apache.beam.runners.flink.FlinkJobServerDriver \
    --flink-master "localhost:$rest_port" --flink-conf-dir "$directory/conf" --artifacts-dir "$directory/artifacts" \
    --job-host localhost --job-port "${BEAM_JOB_PORT:-18099}" --artifact-port "${BEAM_ARTIFACT_PORT:-18098}" \
    --expansion-port "${BEAM_EXPANSION_PORT:-18097}"
}

stop() {
  local file
  for file in "$directory"/*.pid; do
    kill -KILL -- "-$(cat "$file")" 2>/dev/null || true
    rm -f "$file"
  done
}

case ${1:-} in
  start | stop) "$@" ;;
  *) sed -n '2,10p' "$0" && exit 2 ;;
esac
