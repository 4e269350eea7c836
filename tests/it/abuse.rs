//! What strangers, slips and small things can do: every test is a harmless input just above a bound, and what must stay possible.

mod bounds;
