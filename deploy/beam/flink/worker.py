#!/usr/bin/env python
"""Starts one Beam worker on this machine for a task manager, which names it by `--id` and `--provision_endpoint`.

What the `boot` program of Beam's container images does; recstack is installed here, so there is nothing to fetch.
"""

import argparse

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker.sdk_worker import SdkHarness
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor


def main() -> None:
    """Asks the task manager where its control service is, and works for it until it hangs up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    given = parser.parse_known_args()[0]
    with grpc.insecure_channel(given.provision_endpoint) as channel:
        named = grpc.intercept_channel(channel, WorkerIdInterceptor(given.id))
        provision = beam_provision_api_pb2_grpc.ProvisionServiceStub(named)
        answer = provision.GetProvisionInfo(beam_provision_api_pb2.GetProvisionInfoRequest(), timeout=60)
    SdkHarness(answer.info.control_endpoint.url, worker_id=given.id).run()


if __name__ == "__main__":
    main()
