//! Migrations: all can be reverted with rows in the tables, and applied again.

use std::path::PathBuf;

use diesel_async::SimpleAsyncConnection;
use leveret::store::{Connection, migrate};

use super::rows::{connect, started};
use crate::support::{Fresh, lines};

/// Everything in the schema, line by line, except diesel's list of migrations.
const SHAPE: &str = "(\
    SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' \
           || coalesce(column_default, '') AS line \
      FROM information_schema.columns WHERE table_schema = 'leveret' AND table_name NOT LIKE '\\_\\_diesel%' \
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'leveret' AND tablename NOT LIKE '\\_\\_diesel%' \
    UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) \
      FROM pg_constraint WHERE connamespace = 'leveret'::regnamespace AND conrelid::regclass::text NOT LIKE '%\\_\\_diesel%' \
    UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
    UNION ALL SELECT 'function ' || pg_get_functiondef(oid) || coalesce(proacl::text, '') \
      FROM pg_proc WHERE pronamespace = 'leveret'::regnamespace) AS shape ORDER BY line";

/// The folders of all migrations, newest first.
fn newest_first() -> Vec<PathBuf> {
    let all = std::fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations")).unwrap();
    let mut folders: Vec<PathBuf> = all.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.reverse();
    folders
}

async fn shape(conn: &mut Connection) -> Vec<String> {
    lines(conn, "line", SHAPE).await
}

#[tokio::test]
async fn every_migration_can_be_reverted_and_applied_again() {
    let fresh = Fresh::database().await;
    let conn = &mut connect(&fresh).await;
    let before = shape(conn).await;
    assert!(before.len() > 100, "{before:#?}");
    let instance = started(conn, vec![]).await.id;
    conn.batch_execute(&format!(
        "INSERT INTO leveret.definitions (name, version, status, content, content_hash) \
           VALUES ('order', 1, 'active', '{{}}', sha256('x')); \
         INSERT INTO leveret.bookmarks (instance_id, number, kind, opened_at) \
           SELECT '{instance}', 10 + ordinality, kind, now() FROM unnest(ARRAY['task', 'call', 'intervention']) \
             WITH ORDINALITY AS kinds (kind, ordinality); \
         INSERT INTO leveret.messages (name, key, data, expires_at, instance_id) \
           VALUES ('paid', 'mine', '1', now(), '{instance}'), ('paid', 'any', '1', now(), NULL); \
         INSERT INTO leveret.dead_letters (reason, source, exchange, routing_key, body, body_bytes) \
           VALUES ('x', 'x', 'x', 'x', '', 0); \
         INSERT INTO leveret.task_turns VALUES ('order', 'approve', 'ann', nextval('leveret.task_turn')); \
         INSERT INTO leveret.schedules (name, definition, cron, zone, input, overlap, catch_up_for, missed) \
           VALUES ('daily', 'order', '0 0 * * *', 'UTC', '{{}}', 'skip', 0, 'newest'); \
         INSERT INTO leveret.targets (target, key) VALUES ('work:x', ''); \
         SELECT leveret.start('order')"
    ))
    .await
    .unwrap();

    for folder in newest_first() {
        let down = std::fs::read_to_string(folder.join("down.sql")).unwrap();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        conn.batch_execute(&down).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let left = shape(conn).await;
    assert_eq!(left, Vec::<String>::new(), "the down migrations left something");
    conn.batch_execute("DELETE FROM leveret.__diesel_schema_migrations").await.unwrap();

    let done = migrate::run(&fresh.database_url).await.unwrap();
    assert_eq!(done.len(), newest_first().len());
    assert_eq!(shape(conn).await, before);
}
