//! What each route needs. A route that is missing here is for callers with the scope `admin` alone; a test compares this table with the
//! router.

use axum::http::Method;

use crate::contract::scope::{Scope, Scopes};

/// What a caller needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: the route is for everybody, or has a proof of its own.
    Nothing,
    /// One of these scopes.
    OneOf(&'static [Scope]),
}

impl Need {
    /// The first of the scopes that are missing; none if the caller has one of them.
    pub(super) fn missing(self, scopes: Scopes) -> Option<Scope> {
        match self {
            Need::Nothing => None,
            Need::OneOf(any) if any.iter().any(|scope| scopes.allow(*scope)) => None,
            Need::OneOf(any) => Some(any.first().copied().unwrap_or(Scope::Admin)),
        }
    }
}

/// A route and what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The method.
    pub method: &'static str,
    /// The route as it is registered, from the root.
    pub route: &'static str,
    /// What a caller needs.
    pub need: Need,
}

const READ: Need = Need::OneOf(&[Scope::Read]);
const START: Need = Need::OneOf(&[Scope::Start]);
const TASK: Need = Need::OneOf(&[Scope::Task]);
const SEE_TASKS: Need = Need::OneOf(&[Scope::Task, Scope::Read]);
const OPERATE: Need = Need::OneOf(&[Scope::Operate]);
const ADMIN: Need = Need::OneOf(&[Scope::Admin]);

const fn rule(method: &'static str, route: &'static str, need: Need) -> Rule {
    Rule { method, route, need }
}

/// Every route.
pub const RULES: &[Rule] = &[
    rule("GET", "/livez", Need::Nothing),
    rule("GET", "/readyz", Need::Nothing),
    rule("GET", "/metrics", READ),
    rule("GET", "/asyncapi.json", Need::Nothing),
    rule("GET", "/openapi.json", Need::Nothing),
    rule("GET", "/problems/{name}", Need::Nothing),
    rule("POST", "/login", Need::Nothing),
    rule("POST", "/logout", Need::Nothing),
    rule("POST", "/api/v1/instances", START),
    rule("GET", "/api/v1/instances", READ),
    rule("GET", "/api/v1/instances/{id}", READ),
    rule("GET", "/api/v1/instances/{id}/history", READ),
    rule("GET", "/api/v1/instances/{id}/events", READ),
    rule("GET", "/api/v1/instances/{id}/graph.svg", READ),
    rule("GET", "/api/v1/instances/{id}/graph.mmd", READ),
    // It names tables, and nothing of their rows.
    rule("GET", "/api/v1/events", SEE_TASKS),
    rule("GET", "/api/v1/definitions/{name}/graph.svg", READ),
    rule("GET", "/api/v1/definitions/{name}/graph.mmd", READ),
    rule("POST", "/api/v1/instances/{id}/cancel", OPERATE),
    rule("POST", "/api/v1/instances/{id}/terminate", OPERATE),
    rule("POST", "/api/v1/instances/{id}/retry", OPERATE),
    rule("POST", "/api/v1/instances/{id}/suspend", OPERATE),
    rule("POST", "/api/v1/instances/{id}/resume", OPERATE),
    rule("POST", "/api/v1/instances/{id}/skip", OPERATE),
    rule("POST", "/api/v1/instances/{id}/jump", OPERATE),
    rule("POST", "/api/v1/instances/{id}/rerun", OPERATE),
    rule("PATCH", "/api/v1/instances/{id}/variables", OPERATE),
    rule("POST", "/api/v1/instances/{id}/queue", OPERATE),
    rule("POST", "/api/v1/instances/{id}/priority", OPERATE),
    rule("POST", "/api/v1/messages", START),
    rule("GET", "/api/v1/messages", READ),
    rule("GET", "/api/v1/timers", READ),
    rule("POST", "/api/v1/timers/{instance}/{bookmark}/reschedule", OPERATE),
    rule("GET", "/api/v1/incidents", READ),
    rule("GET", "/api/v1/incidents/groups", READ),
    rule("GET", "/api/v1/incidents/groups/{fingerprint}", READ),
    rule("POST", "/api/v1/incidents/groups/{fingerprint}/assign", OPERATE),
    rule("POST", "/api/v1/incidents/groups/{fingerprint}/comment", OPERATE),
    rule("POST", "/api/v1/incidents/groups/{fingerprint}/mute", OPERATE),
    rule("POST", "/api/v1/incidents/{instance}/resolve", OPERATE),
    rule("GET", "/api/v1/calls", READ),
    rule("GET", "/api/v1/calls/{id}", READ),
    // The callback of a server that was asked: the token of the attempt is its proof.
    rule("POST", "/api/v1/calls/{id}/complete", Need::Nothing),
    rule("POST", "/api/v1/calls/{id}/resolve", OPERATE),
    rule("GET", "/api/v1/audit", READ),
    rule("GET", "/api/v1/dead-letters", READ),
    rule("GET", "/api/v1/dead-letters/{id}", READ),
    rule("POST", "/api/v1/dead-letters/redrive", OPERATE),
    rule("POST", "/api/v1/dead-letters/drop", OPERATE),
    rule("POST", "/api/v1/dead-letters/{id}/redrive", OPERATE),
    rule("POST", "/api/v1/dead-letters/{id}/drop", OPERATE),
    rule("GET", "/api/v1/schedules", READ),
    rule("PUT", "/api/v1/schedules/{name}", OPERATE),
    rule("GET", "/api/v1/schedules/{name}", READ),
    rule("DELETE", "/api/v1/schedules/{name}", OPERATE),
    rule("POST", "/api/v1/schedules/{name}/pause", OPERATE),
    rule("POST", "/api/v1/schedules/{name}/resume", OPERATE),
    rule("POST", "/api/v1/schedules/{name}/run", OPERATE),
    rule("GET", "/api/v1/schedules/{name}/next", READ),
    rule("GET", "/api/v1/tasks", SEE_TASKS),
    rule("GET", "/api/v1/tasks/count", SEE_TASKS),
    rule("GET", "/api/v1/tasks/{id}", SEE_TASKS),
    rule("POST", "/api/v1/tasks/claim-next", TASK),
    rule("POST", "/api/v1/tasks/{id}/claim", TASK),
    rule("POST", "/api/v1/tasks/{id}/extend", TASK),
    rule("POST", "/api/v1/tasks/{id}/release", TASK),
    rule("POST", "/api/v1/tasks/{id}/complete", TASK),
    rule("POST", "/api/v1/tasks/{id}/delegate", TASK),
    rule("POST", "/api/v1/tasks/{id}/draft", TASK),
    // A task of anybody.
    rule("POST", "/api/v1/tasks/{id}/reassign", OPERATE),
    rule("GET", "/api/v1/targets", READ),
    rule("POST", "/api/v1/bulk", OPERATE),
    rule("GET", "/api/v1/bulk", READ),
    rule("GET", "/api/v1/bulk/{id}", READ),
    rule("GET", "/api/v1/bulk/{id}/items", READ),
    rule("POST", "/api/v1/bulk/{id}/pause", OPERATE),
    rule("POST", "/api/v1/bulk/{id}/resume", OPERATE),
    rule("POST", "/api/v1/bulk/{id}/abort", OPERATE),
    rule("GET", "/api/v1/definitions", READ),
    rule("POST", "/api/v1/definitions/check", READ),
    // A definition runs statements and handlers, and sends secrets.
    rule("PUT", "/api/v1/definitions/{name}", ADMIN),
    rule("GET", "/api/v1/definitions/{name}", READ),
    rule("GET", "/api/v1/definitions/{name}/versions/{version}", READ),
    // The pages. Those that change something carry the token of their session.
    rule("GET", "/login", Need::Nothing),
    rule("GET", "/assets/{name}", Need::Nothing),
    rule("GET", "/", SEE_TASKS),
    rule("GET", "/who", SEE_TASKS),
    rule("POST", "/who", SEE_TASKS),
    rule("GET", "/targets", READ),
    rule("GET", "/system", READ),
    rule("GET", "/instances", READ),
    rule("GET", "/instances/{id}", READ),
    rule("GET", "/instances/{id}/do/{operation}", OPERATE),
    rule("POST", "/instances/{id}/do/{operation}", OPERATE),
    rule("GET", "/bulk", READ),
    rule("POST", "/bulk", OPERATE),
    rule("GET", "/bulk/{id}", READ),
    rule("POST", "/bulk/{id}/do/{change}", OPERATE),
    rule("GET", "/tasks", SEE_TASKS),
    rule("GET", "/tasks/{id}", SEE_TASKS),
    rule("POST", "/tasks/{id}/do/{act}", TASK),
    rule("GET", "/incidents", READ),
    rule("GET", "/incidents/{fingerprint}", READ),
    rule("POST", "/incidents/{fingerprint}/do/{change}", OPERATE),
    rule("GET", "/dead-letters", READ),
    rule("GET", "/dead-letters/{id}", READ),
    rule("POST", "/dead-letters/{id}/do/{deed}", OPERATE),
    rule("GET", "/definitions", READ),
    rule("GET", "/definitions/{name}", READ),
    rule("GET", "/definitions/{name}/versions/{version}", READ),
    rule("GET", "/definitions/{name}/diff", READ),
    rule("GET", "/check", READ),
    rule("POST", "/check", READ),
    rule("GET", "/schedules", READ),
    rule("GET", "/schedules/{name}", READ),
    rule("POST", "/schedules/{name}/do/{deed}", OPERATE),
];

/// What a request needs. The router answers `HEAD` as `GET`.
pub(super) fn need(method: &Method, route: &str) -> Need {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let rule = RULES.iter().find(|rule| rule.route == route && rule.method == method);
    rule.map_or(ADMIN, |rule| rule.need)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Methods and routes in the text of the router.
    fn registered(text: &str, prefix: &str) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for rest in text.split(".route(\"").skip(1) {
            let (route, rest) = rest.split_once('"').unwrap();
            // Until the next line, every function that is named like a method registers one.
            let line = rest.lines().next().unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if line.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word == method)
                    && line.contains(&format!("{method}("))
                {
                    found.insert((method.to_uppercase(), format!("{prefix}{route}")));
                }
            }
        }
        found
    }

    #[test]
    fn every_route_of_the_router_has_its_rule_and_no_other() {
        let mut routes = registered(include_str!("session.rs"), "");
        routes.extend(registered(include_str!("../pages/mod.rs"), ""));
        let described = crate::http::openapi();
        for (route, methods) in described["paths"].as_object().unwrap() {
            routes.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), route.clone())));
        }
        assert!(routes.len() > 100, "the routes were not found");
        let rules: BTreeSet<_> = RULES.iter().map(|rule| (rule.method.to_owned(), rule.route.to_owned())).collect();
        assert_eq!(rules.len(), RULES.len(), "a route has two rules");
        let missing: Vec<_> = routes.difference(&rules).collect();
        let gone: Vec<_> = rules.difference(&routes).collect();
        assert!(missing.is_empty() && gone.is_empty(), "without a rule: {missing:?}; rules without a route: {gone:?}");
    }

    #[test]
    fn a_route_without_a_rule_is_for_admins() {
        let operator = Scopes::from_iter([Scope::Read, Scope::Start, Scope::Task, Scope::Operate]);
        let unknown = need(&Method::POST, "/api/v1/unknown");
        assert_eq!(unknown.missing(operator), Some(Scope::Admin));
        assert_eq!(unknown.missing(Scopes::from_iter([Scope::Admin])), None);
        assert_eq!(need(&Method::DELETE, "/api/v1/instances"), ADMIN);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(need(&Method::HEAD, "/api/v1/instances"), READ);
        assert_eq!(READ.missing(Scopes::from_iter([Scope::Task])), Some(Scope::Read));
        assert_eq!(SEE_TASKS.missing(Scopes::from_iter([Scope::Read])), None);
        assert_eq!(SEE_TASKS.missing(Scopes::from_iter([Scope::Start])), Some(Scope::Task));
        assert_eq!(Need::Nothing.missing(Scopes::NONE), None);
    }
}
