//! Who sends a request, what it may do, and as whom it acts.

use std::future::Future;

use crate::command::api_key::Others;
use crate::contract::scope::Scopes;
use crate::http::problem::Problem;

/// The sender of commands over HTTP, as stored in the inbox; of an authenticated caller with its name behind it.
const SENDER: &str = "leveret.http";

/// The sender of a request. It is among the extensions of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The name of its key, or the user of its token; empty if nothing was proven.
    pub(crate) name: String,
    /// The person for whom it acts in this request, as the header `Leveret-Actor` says.
    pub(crate) acts_as: Option<String>,
    /// What it may do.
    pub(crate) scopes: Scopes,
    /// The groups of its user.
    pub(crate) groups: Vec<String>,
    /// Whether its commands may name another user.
    pub(crate) others: Others,
    /// How it has proven who it is.
    pub(crate) proven: Proven,
}

/// How a caller has proven who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proven {
    /// Nobody is asked: `access.authentication` is off.
    NotAsked,
    /// It was not asked, because the route is for everybody.
    Public,
    /// With an API key.
    Key,
    /// With a token of the issuer.
    Token,
    /// With the cookie of a session; forms carry this token, so that no other page can send them.
    Session {
        /// The value of the field `csrf`, or of the header `X-CSRF-Token`.
        csrf: String,
    },
}

tokio::task_local! {
    // Handlers take their parts in one way: what a command reads of its caller is not a parameter of each.
    static CALLER: Caller;
}

/// The caller of the request that this task handles; none outside of requests.
pub(crate) fn current() -> Option<Caller> {
    CALLER.try_with(Clone::clone).ok()
}

/// Handles a request of this caller.
pub(super) async fn within<T>(caller: Caller, work: impl Future<Output = T>) -> T {
    CALLER.scope(caller, work).await
}

impl Caller {
    /// Nothing is proven.
    pub(crate) fn nobody(proven: Proven) -> Self {
        Self {
            name: String::new(),
            acts_as: None,
            scopes: Scopes::NONE,
            groups: Vec::new(),
            others: Others::Never,
            proven,
        }
    }

    /// Whether it is known who it is.
    pub(crate) fn is_authenticated(&self) -> bool {
        match self.proven {
            Proven::NotAsked | Proven::Public => false,
            Proven::Key | Proven::Token | Proven::Session { .. } => true,
        }
    }

    /// The sender of its commands: message ids of one caller are not those of another.
    pub(crate) fn sender(&self) -> String {
        match self.is_authenticated() {
            true => format!("{SENDER}/{}", self.name),
            false => SENDER.to_owned(),
        }
    }

    /// The user who acts, if no other is named.
    pub(crate) fn acting(&self) -> Option<&str> {
        let own = self.is_authenticated().then_some(self.name.as_str());
        self.acts_as.as_deref().or(own)
    }

    /// Who was authenticated, if it acts for this other user.
    pub(crate) fn via(&self, acting: Option<&str>) -> Option<String> {
        (self.is_authenticated() && acting.is_some_and(|acting| acting != self.name)).then(|| self.name.clone())
    }

    /// The user who acts where a request may name one in `what`.
    pub(crate) fn acting_as(&self, what: &str, named: Option<String>) -> Result<Option<String>, Problem> {
        if self.proven == Proven::NotAsked {
            return Ok(named);
        }
        match (self.acting().map(str::to_owned), named.filter(|named| !named.is_empty())) {
            (own, None) => Ok(own),
            (Some(own), Some(named)) if own == named => Ok(Some(named)),
            // Once the header says for whom it acts, the rest of the request is that user's.
            (Some(_), Some(named)) if self.others == Others::Allowed && self.acts_as.is_none() => Ok(Some(named)),
            (own, Some(_)) => Err(not_another(what, own.as_deref().unwrap_or_default())),
        }
    }

    /// The groups of this user, for whom the caller acts: those that are named, or else those of the caller if it is the user.
    pub(crate) fn acting_groups(&self, user: &str, named: Vec<String>) -> Result<Vec<String>, Problem> {
        // Of another user the caller is trusted to know the groups, as it is trusted to know the user.
        if self.proven == Proven::NotAsked || user != self.name {
            return Ok(named);
        }
        if self.others == Others::Allowed && !named.is_empty() {
            return Ok(named);
        }
        match named.iter().find(|group| !self.groups.contains(group)) {
            Some(group) => Err(Problem::other_user(format!(
                "`groups` names `{}`, which is not a group of {}; leave `groups` out, or use a key that acts for others",
                crate::http::request::shorten(group),
                self.name
            ))),
            None if named.is_empty() => Ok(self.groups.clone()),
            None => Ok(named),
        }
    }
}

fn not_another(what: &str, own: &str) -> Problem {
    Problem::other_user(format!(
        "`{what}` names another user than {own}, who sends this request; leave it out, or use a key that acts for others"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::scope::Scope;

    fn ann() -> Caller {
        Caller {
            name: "ann".into(),
            scopes: Scopes::from_iter([Scope::Task]),
            groups: vec!["sales".into(), "support".into()],
            proven: Proven::Token,
            ..Caller::nobody(Proven::Key)
        }
    }

    fn named(caller: &Caller, name: &str) -> Option<Option<String>> {
        caller.acting_as("user", Some(name.into())).ok()
    }

    #[test]
    fn a_caller_acts_as_itself_and_as_nobody_else() {
        let ann = ann();
        assert_eq!((ann.sender().as_str(), ann.acting()), ("leveret.http/ann", Some("ann")));
        assert_eq!(ann.acting_as("user", None).ok(), Some(Some("ann".into())));
        assert_eq!((named(&ann, "ann"), named(&ann, "")), (Some(Some("ann".into())), Some(Some("ann".into()))));
        assert_eq!(named(&ann, "bob"), None);
        assert_eq!(ann.acting_groups("ann", vec![]).ok(), Some(vec!["sales".into(), "support".into()]));
        assert_eq!(ann.acting_groups("ann", vec!["sales".into()]).ok(), Some(vec!["sales".into()]));
        assert!(ann.acting_groups("ann", vec!["sales".into(), "board".into()]).is_err());
        assert_eq!((ann.via(Some("ann")), ann.via(None)), (None, None));
    }

    #[test]
    fn a_service_acts_for_the_people_it_names() {
        let inbox = Caller { name: "inbox".into(), groups: vec!["machines".into()], others: Others::Allowed, ..ann() };
        assert_eq!(named(&inbox, "bob"), Some(Some("bob".into())));
        assert_eq!(inbox.acting_groups("bob", vec!["board".into()]).ok(), Some(vec!["board".into()]));
        assert_eq!(inbox.acting_groups("bob", vec![]).ok(), Some(vec![]), "not those of the service");
        assert_eq!(inbox.acting_groups("inbox", vec![]).ok(), Some(vec!["machines".into()]));
        assert_eq!((inbox.acting(), inbox.via(Some("bob"))), (Some("inbox"), Some("inbox".into())));
        // The header decides for the whole request.
        let for_bob = Caller { acts_as: Some("bob".into()), ..inbox };
        assert_eq!((for_bob.acting(), named(&for_bob, "bob")), (Some("bob"), Some(Some("bob".into()))));
        assert_eq!((named(&for_bob, "eve"), named(&for_bob, "inbox")), (None, None));
        assert_eq!(for_bob.sender(), "leveret.http/inbox");
    }

    #[test]
    fn where_nobody_is_asked_who_is_named_counts() {
        let open = Caller::nobody(Proven::NotAsked);
        assert_eq!((open.sender().as_str(), open.acting()), ("leveret.http", None));
        assert_eq!(named(&open, "bob"), Some(Some("bob".into())));
        assert_eq!(open.acting_groups("bob", vec!["board".into()]).ok(), Some(vec!["board".into()]));
        let public = Caller::nobody(Proven::Public);
        assert_eq!((public.acting_as("user", None).ok(), named(&public, "bob")), (Some(None), None));
    }
}
