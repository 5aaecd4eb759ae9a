"""A Celery application like any other: nothing in it knows of this project.

    celery -A celery_application worker
    python celery_application.py

The variable BROKERS says where: HOST:PORT, with commas between; the first is tried first. The second program runs five
tasks for each line that it reads, and prints their results.
"""

import os
import sys

from celery import Celery

brokers = os.environ["BROKERS"].split(",")
app = Celery("celery_application", broker="qpid://%s//" % brokers[0], backend="rpc://")
app.conf.broker_connection_retry_on_startup = True
if len(brokers) > 1:
    app.conf.broker_transport_options = {"reconnect": True, "reconnect_urls": brokers, "heartbeat": 5}


@app.task
def square(number):
    return number * number


def main():
    number = 0
    for _ in sys.stdin:
        asked = [square.delay(number + i) for i in range(5)]
        number += len(asked)
        print("results", [result.get(timeout=60) for result in asked], flush=True)


if __name__ == "__main__":
    main()
