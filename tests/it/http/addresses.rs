//! `%00` in an address is a mistake of the client, whatever the address is for.

use reqwest::Method;

use crate::support::InProcess;

const PARTS: [&str; 18] = [
    "/instances?key=a%00b",
    "/instances?definition=a%00",
    "/messages?name=a%00",
    "/messages?key=a%00",
    "/tasks?definition=a%00",
    "/tasks?user=a%00",
    "/tasks?groups=a%00",
    "/tasks?group=a%00",
    "/tasks/count?definition=a%00",
    "/calls?definition=a%00",
    "/calls?target=a%00",
    "/incidents?definition=a%00",
    "/timers?cursor=a%00",
    "/targets?cursor=a%00",
    "/definitions?cursor=a%00",
    "/definitions/a%00b",
    "/definitions/a%00b/versions/1",
    "/schedules/a%00b",
];

#[tokio::test]
async fn nul_in_an_address_is_refused_everywhere() {
    let leveret = InProcess::new().await;
    for part in PARTS {
        let said = leveret.get(part).await.problem(400, "invalid");
        assert!(said.contains("%00"), "{part}: {said}");
    }
    for (method, part) in [
        (Method::PUT, "/definitions/a%00"),
        (Method::DELETE, "/schedules/a%00"),
        (Method::POST, "/schedules/a%00/run"),
        (Method::POST, "/instances?wait=a%00"),
    ] {
        leveret.send(method, part, None, "{}".into()).await.problem(400, "invalid");
    }
    // Not `%00`, but a percent sign and zeros.
    leveret.get("/definitions/a%2500").await.problem(404, "not-found");
    leveret.stop().await;
}
