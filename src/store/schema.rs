//! The tables as diesel sees them, in the form `diesel print-schema` gives.

pub(super) mod leveret {
    diesel::table! {
        leveret.api_keys (id) {
            id -> Uuid,
            namespace -> Text,
            name -> Text,
            hash -> Bytea,
            hint -> Text,
            scopes -> Array<Text>,
            groups -> Array<Text>,
            acts_for_others -> Bool,
            created_at -> Timestamptz,
            created_by -> Text,
            expires_at -> Nullable<Timestamptz>,
            last_used_at -> Nullable<Timestamptz>,
            revoked_at -> Nullable<Timestamptz>,
        }
    }

    diesel::table! {
        leveret.audit (id) {
            id -> Int8,
            at -> Timestamptz,
            actor -> Text,
            door -> Text,
            action -> Text,
            subject -> Text,
            object -> Text,
            reason -> Nullable<Text>,
            outcome -> Text,
            details -> Nullable<Jsonb>,
        }
    }

    diesel::table! {
        leveret.bookmarks (instance_id, number) {
            instance_id -> Uuid,
            number -> Int8,
            branch -> Nullable<Int4>,
            activity -> Nullable<Text>,
            kind -> Text,
            message_name -> Nullable<Text>,
            message_key -> Nullable<Text>,
            due_at -> Nullable<Timestamptz>,
            next_check_at -> Nullable<Timestamptz>,
            opened_at -> Timestamptz,
            consumed_at -> Nullable<Timestamptz>,
            details -> Jsonb,
            fingerprint -> Nullable<Text>,
        }
    }

    diesel::table! {
        leveret.calls (id) {
            id -> Uuid,
            instance_id -> Uuid,
            bookmark -> Int8,
            definition -> Text,
            activity -> Text,
            instance_key -> Nullable<Text>,
            kind -> Text,
            target -> Text,
            state -> Text,
            attempt -> Int4,
            dispatch -> Int4,
            purpose -> Text,
            request -> Jsonb,
            probe -> Nullable<Jsonb>,
            timeout_ms -> Nullable<Int8>,
            heartbeat_ms -> Nullable<Int8>,
            until -> Nullable<Timestamptz>,
            callback -> Bool,
            limits -> Nullable<Jsonb>,
            trace -> Nullable<Text>,
            token_hash -> Nullable<Bytea>,
            opened_at -> Timestamptz,
            begun_at -> Nullable<Timestamptz>,
            deadline -> Nullable<Timestamptz>,
            next_at -> Nullable<Timestamptz>,
            ended_at -> Nullable<Timestamptz>,
            reported_at -> Nullable<Timestamptz>,
            outcome -> Nullable<Jsonb>,
            result -> Nullable<Jsonb>,
            error -> Nullable<Jsonb>,
            progress -> Nullable<Jsonb>,
            late -> Nullable<Jsonb>,
        }
    }

    diesel::table! {
        leveret.dead_letters (id) {
            id -> Int8,
            received_at -> Timestamptz,
            reason -> Text,
            source -> Text,
            exchange -> Text,
            routing_key -> Text,
            kind -> Nullable<Text>,
            app_id -> Nullable<Text>,
            message_id -> Nullable<Text>,
            user_id -> Nullable<Text>,
            headers -> Jsonb,
            body -> Bytea,
            body_bytes -> Int8,
            instance_id -> Nullable<Uuid>,
            failures -> Int4,
            failed_at -> Nullable<Timestamptz>,
            redriven -> Int4,
            redriven_at -> Nullable<Timestamptz>,
            redriven_as -> Nullable<Uuid>,
        }
    }

    diesel::table! {
        leveret.definitions (name, version) {
            name -> Text,
            version -> Int4,
            status -> Text,
            content -> Jsonb,
            content_hash -> Bytea,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        leveret.history (instance_id, number) {
            instance_id -> Uuid,
            number -> Int8,
            at -> Timestamptz,
            kind -> Text,
            activity -> Nullable<Text>,
            branch -> Nullable<Int4>,
            details -> Nullable<Jsonb>,
            salt -> Nullable<Bytea>,
            digest -> Bytea,
            previous_hash -> Bytea,
        }
    }

    diesel::table! {
        leveret.inbox (app_id, message_id) {
            app_id -> Text,
            message_id -> Text,
            received_at -> Timestamptz,
            command -> Text,
            body_hash -> Bytea,
            instance_id -> Nullable<Uuid>,
            outcome -> Text,
            answer -> Jsonb,
        }
    }

    diesel::table! {
        leveret.incident_groups (fingerprint) {
            fingerprint -> Text,
            assignee -> Nullable<Text>,
            muted_until -> Nullable<Timestamptz>,
            changed_at -> Timestamptz,
        }
    }

    diesel::table! {
        leveret.incident_notes (id) {
            id -> Int8,
            fingerprint -> Text,
            at -> Timestamptz,
            kind -> Text,
            by -> Text,
            value -> Nullable<Text>,
            reason -> Nullable<Text>,
            app_id -> Text,
            message_id -> Text,
        }
    }

    diesel::table! {
        leveret.instances (id) {
            id -> Uuid,
            definition -> Text,
            version -> Int4,
            status -> Text,
            revision -> Int8,
            ready -> Bool,
            key -> Nullable<Text>,
            queue -> Text,
            priority -> Int2,
            state_format -> Int2,
            branches -> Jsonb,
            variables -> Jsonb,
            input -> Jsonb,
            output -> Nullable<Jsonb>,
            error -> Nullable<Jsonb>,
            started_at -> Timestamptz,
            started_by -> Nullable<Text>,
            user_id -> Nullable<Text>,
            ended_at -> Nullable<Timestamptz>,
            due_at -> Nullable<Timestamptz>,
            moved_at -> Timestamptz,
            rechecked_at -> Nullable<Timestamptz>,
            recheck_for -> Int8,
            history_count -> Int8,
            history_hash -> Bytea,
            trace -> Nullable<Text>,
            parent -> Nullable<Uuid>,
            counted -> Bool,
            counted_sender -> Nullable<Text>,
        }
    }

    diesel::table! {
        leveret.messages (id) {
            id -> Int8,
            name -> Text,
            key -> Text,
            data -> Jsonb,
            received_at -> Timestamptz,
            expires_at -> Timestamptz,
            app_id -> Nullable<Text>,
            message_id -> Nullable<Text>,
            user_id -> Nullable<Text>,
            instance_id -> Nullable<Uuid>,
        }
    }

    diesel::table! {
        leveret.task_candidates (task_id, candidate) {
            task_id -> Uuid,
            candidate -> Text,
            definition -> Text,
            priority -> Int2,
            opened_at -> Timestamptz,
            due_at -> Nullable<Timestamptz>,
        }
    }

    diesel::table! {
        leveret.tasks (id) {
            id -> Uuid,
            instance_id -> Uuid,
            bookmark -> Int8,
            definition -> Text,
            activity -> Text,
            instance_key -> Nullable<Text>,
            revision -> Int8,
            open -> Bool,
            title -> Text,
            description -> Nullable<Text>,
            data -> Jsonb,
            labels -> Jsonb,
            priority -> Int2,
            users -> Array<Text>,
            groups -> Array<Text>,
            excluded -> Array<Text>,
            assignee -> Nullable<Text>,
            delegated_by -> Nullable<Text>,
            claimed_by -> Nullable<Text>,
            lease_until -> Nullable<Timestamptz>,
            decisions -> Jsonb,
            form -> Nullable<Jsonb>,
            draft -> Nullable<Jsonb>,
            vote -> Bool,
            ballots -> Jsonb,
            due_at -> Nullable<Timestamptz>,
            opened_at -> Timestamptz,
            closed_at -> Nullable<Timestamptz>,
            outcome -> Nullable<Text>,
            completed_by -> Nullable<Text>,
            result -> Nullable<Jsonb>,
        }
    }

    diesel::table! {
        leveret.outbox (id) {
            id -> Uuid,
            exchange -> Text,
            routing_key -> Text,
            kind -> Text,
            app_id -> Nullable<Text>,
            message_id -> Nullable<Text>,
            headers -> Jsonb,
            body -> Bytea,
            due_at -> Nullable<Timestamptz>,
            instance_id -> Nullable<Uuid>,
            created_at -> Timestamptz,
            claimable_at -> Timestamptz,
            attempts -> Int4,
            dead_at -> Nullable<Timestamptz>,
            reply_to -> Nullable<Text>,
            correlation_id -> Nullable<Text>,
            confirmed_at -> Nullable<Timestamptz>,
            confirms -> Int4,
        }
    }

    diesel::table! {
        leveret.schedules (name) {
            name -> Text,
            definition -> Text,
            version -> Nullable<Int4>,
            cron -> Text,
            zone -> Text,
            input -> Jsonb,
            overlap -> Text,
            catch_up_for -> Int8,
            missed -> Text,
            revision -> Int8,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
            paused_at -> Nullable<Timestamptz>,
            next_at -> Nullable<Timestamptz>,
            wake_at -> Nullable<Timestamptz>,
            queued_at -> Nullable<Timestamptz>,
            last_tick_at -> Nullable<Timestamptz>,
            last_instance -> Nullable<Uuid>,
            last_error -> Nullable<Text>,
            last_error_at -> Nullable<Timestamptz>,
            started -> Int8,
            skipped -> Int8,
            failed -> Int8,
        }
    }

    diesel::table! {
        leveret.sessions (hash) {
            hash -> Bytea,
            key_id -> Uuid,
            created_at -> Timestamptz,
            expires_at -> Timestamptz,
        }
    }
}

/// Functions of PostgreSQL.
pub(super) mod functions {
    diesel::define_sql_function! {
        /// The database's time at this very moment, also inside a transaction.
        fn clock_timestamp() -> Timestamptz;
    }
}
