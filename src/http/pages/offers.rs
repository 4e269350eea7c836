//! The operations on an instance that pages offer, by its status.

use maud::{Markup, html};
use uuid::Uuid;

use crate::contract::api::InstanceView;
use crate::http::problem::Problem;
use crate::http::request;

/// An operation as pages offer it.
pub(super) struct Offer {
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    /// What it does, in a sentence.
    pub(super) meaning: &'static str,
    /// For which statuses.
    pub(super) fits: &'static [&'static str],
    /// Whether it is at hand, or behind `More`.
    at_hand: bool,
    /// Whether it ends the instance.
    ends: bool,
}

const LIVE: &[&str] = &["running", "suspended", "compensating"];
const ENDED: &[&str] = &["completed", "failed", "cancelled", "suspended", "running"];

static OFFERS: [Offer; 11] = [
    Offer {
        name: "retry",
        words: "Retry",
        meaning: "Tries again what has failed.",
        fits: &["suspended"],
        at_hand: true,
        ends: false,
    },
    Offer {
        name: "resume",
        words: "Resume",
        meaning: "Continues what was suspended.",
        fits: &["suspended"],
        at_hand: true,
        ends: false,
    },
    Offer {
        name: "suspend",
        words: "Suspend",
        meaning: "Pauses it until it is resumed. Messages for it are kept.",
        fits: &["running"],
        at_hand: true,
        ends: false,
    },
    Offer {
        name: "cancel",
        words: "Cancel",
        meaning: "Ends it as its definition says.",
        fits: LIVE,
        at_hand: true,
        ends: true,
    },
    Offer {
        name: "terminate",
        words: "Terminate",
        meaning: "Ends it at once, whatever its definition says.",
        fits: LIVE,
        at_hand: false,
        ends: true,
    },
    Offer {
        name: "skip",
        words: "Skip",
        meaning: "Completes what it waits for, or what has failed, with a result of yours.",
        fits: LIVE,
        at_hand: false,
        ends: false,
    },
    Offer {
        name: "jump",
        words: "Jump",
        meaning: "Continues at another activity.",
        fits: LIVE,
        at_hand: false,
        ends: false,
    },
    Offer {
        name: "rerun",
        words: "Rerun",
        meaning: "Begins again from an activity. What has ended begins as a new instance.",
        fits: ENDED,
        at_hand: false,
        ends: false,
    },
    Offer {
        name: "variables",
        words: "Set variables",
        meaning: "Gives variables other values.",
        fits: LIVE,
        at_hand: false,
        ends: false,
    },
    Offer {
        name: "queue",
        words: "Change queue",
        meaning: "Its next steps go to another queue.",
        fits: LIVE,
        at_hand: false,
        ends: false,
    },
    Offer {
        name: "priority",
        words: "Change priority",
        meaning: "Above 0, its steps go before those of others.",
        fits: LIVE,
        at_hand: false,
        ends: false,
    },
];

/// The operations for an instance as it is now.
pub(super) fn buttons(view: &InstanceView) -> Markup {
    let status = view.summary.status.as_str();
    let offers = move || OFFERS.iter().filter(move |offer| offer.fits.contains(&status));
    html! {
        div.row {
            @for offer in offers().filter(|offer| offer.at_hand) { (button(view.summary.id, offer)) }
            details #more { summary.button { "More" } div.row { @for offer in offers().filter(|offer| !offer.at_hand) { (button(view.summary.id, offer)) } } }
        }
    }
}

fn button(id: Uuid, offer: &Offer) -> Markup {
    let look = if offer.ends { "button danger" } else { "button" };
    html! { a class=(look) href={ "/instances/" (id) "/do/" (offer.name) } { (offer.words) } }
}

/// The operation of this name.
pub(super) fn offer(name: &str) -> Result<&'static Offer, Problem> {
    OFFERS
        .iter()
        .find(|offer| offer.name == name)
        .ok_or_else(|| Problem::not_found(format!("`{}` is not an operation", request::shorten(name))))
}
