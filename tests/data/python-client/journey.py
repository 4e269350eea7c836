"""Starts an instance, watches it and completes its task, with the client that was generated from the document."""

import sys
import time

from leveret_client import Client
from leveret_client.api.instances import get_history, get_instance, start_instance
from leveret_client.api.tasks import claim_task, complete_task, list_tasks
from leveret_client.models import StartRequest, TaskClaimRequest, TaskCompleteRequest

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)
started = start_instance.sync(client=client, body=StartRequest(definition="approval", key="PO-1"), idempotency_key="po-1")
again = start_instance.sync(client=client, body=StartRequest(definition="approval", key="PO-1"), idempotency_key="po-1")
assert started.id == again.id, (started, again)

for _ in range(100):
    tasks = list_tasks.sync(client=client, user="ada", group=["managers"])
    if tasks.items:
        break
    time.sleep(0.1)
[task] = tasks.items
assert task.instance == started.id and task.title == "Approve PO-1", task

who = {"user": "ada", "groups": ["managers"]}
claimed = claim_task.sync(task.id, client=client, body=TaskClaimRequest(**who))
assert claimed.claimed_by == "ada", claimed
stale = complete_task.sync(task.id, client=client, body=TaskCompleteRequest(decision="accept", **who), if_match=f'"{task.revision}"')
assert (stale.status, stale.type_) == (409, "urn:leveret:task-stale"), stale
complete_task.sync(task.id, client=client, body=TaskCompleteRequest(decision="accept", **who), if_match=f'"{claimed.revision}"')

for _ in range(100):
    instance = get_instance.sync(started.id, client=client)
    if instance.status == "completed":
        break
    time.sleep(0.1)
assert instance.output == {"decision": "accept"}, instance
kinds = [row.kind for row in get_history.sync(started.id, client=client).items]
assert kinds[0] == "InstanceStarted", kinds
print("the journey is complete")
