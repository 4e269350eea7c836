//! What leaves and what comes back, against servers of the test's own.
