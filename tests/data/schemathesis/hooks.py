"""The languages of texts that a JSON Schema names by `format` and cannot describe."""

import schemathesis
from hypothesis import strategies as st

number = st.integers(min_value=0, max_value=500)
duration = st.builds(lambda count, unit: f"{count}{unit}", number, st.sampled_from(["ms", "s", "m", "h", "d"]))
# Not `wait`, which would take its time: see before_call.
schemathesis.openapi.format("leveret-duration", duration)

word = st.text(alphabet="abcdefgh-_0123456789", min_size=1, max_size=12)
term = st.one_of(
    st.builds(lambda status: f"status:{status}", st.sampled_from(["running", "suspended", "completed", "failed", "cancelled"])),
    st.builds(lambda name: f"definition:{name}", word),
    st.builds(lambda key: f"key:{key}*", word),
    st.builds(lambda age: f"started<{age}", st.builds(lambda count: f"{count}h", st.integers(1, 99))),
    st.builds(lambda count: f"var.amount>{count}", number),
    st.builds(lambda code: f"code:handler.{code}", st.text(alphabet="abc", min_size=1, max_size=5)),
)
schemathesis.openapi.format("leveret-filter", st.one_of(term, st.just("status:running definition:line key:A-*")))
schemathesis.openapi.format("leveret-cron", st.sampled_from(["*/5 * * * *", "0 9 * * 1-5", "30 2 1 * *", "15 4 * * 0"]))
schemathesis.openapi.format("leveret-zone", st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))

# Cursors are opaque: a program takes them from the page before. Each list has a form of its own.
moment = st.integers(min_value=0, max_value=2_000_000_000_000_000)
ids = st.uuids().map(str)
CURSORS = {
    "/api/v1/timers": st.builds(lambda at, of, number: f"{at}.{of}.{number}", moment, ids, number),
    "/api/v1/incidents": st.builds(lambda at, of, number: f"{at}.{of}.{number}", moment, ids, number),
    "/api/v1/incidents/groups": st.builds(lambda at, of: f"{at}.{of:032x}", moment, st.integers(0, 2**128 - 1)),
    "/api/v1/calls": st.builds(lambda at, of: f"{at}_{of}", moment, ids),
    "/api/v1/tasks": st.builds(lambda at, of: f"0_{at}_{of}", moment, ids),
    "/api/v1/tasks/count": st.builds(lambda at, of: f"0_{at}_{of}", moment, ids),
    "/api/v1/targets": st.builds(lambda name: f"{len(name)}.{name}", word),
}
for path, cursors in CURSORS.items():
    schemathesis.openapi.format("cursor-of-" + path.replace("/", "-"), cursors)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for path in CURSORS:
        for parameter in raw_schema["paths"][path]["get"]["parameters"]:
            if parameter["name"] == "cursor":
                parameter["schema"]["format"] = "cursor-of-" + path.replace("/", "-")


@schemathesis.hook
def filter_query(context, query):
    """`filter` goes alone, which OpenAPI cannot say of parameters."""
    query = query or {}
    return not ("filter" in query and {"definition", "status", "key"} & set(query))


@schemathesis.hook
def filter_body(context, body):
    """One of `due_at` and `after`, and so on: either, and not both."""
    if not isinstance(body, dict):
        return True
    path = context.operation.path
    if path.endswith("/reschedule"):
        return (body.get("due_at") is None) != (body.get("after") is None)
    if path.endswith("/mute"):
        return body.get("until") is None or body.get("after") is None
    return True
