//! The shop: its tables, and handlers that write to them inside the transaction of the step.

use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use leveret::handlers::{Error, HandlerInput, HandlerResult, Handlers};
use leveret::store::Connection;
use serde::Deserialize;
use serde_json::json;

/// No constraint forbids a second row for one order: Leveret guarantees that there is only one.
const TABLES: &str = "
    CREATE SCHEMA IF NOT EXISTS shop;
    CREATE TABLE IF NOT EXISTS shop.reservations (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_key text, article text NOT NULL, quantity int NOT NULL,
        released boolean NOT NULL DEFAULT false);
    CREATE TABLE IF NOT EXISTS shop.shipments (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_key text, reservation bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS shop.bookings (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, instance text NOT NULL, attempt int NOT NULL);";
/// The advisory lock of the shop.
const LOCK: i64 = 7_203_581;
/// What the shop sells.
const ARTICLES: [&str; 5] = ["lamp", "chair", "desk", "shelf", "rug"];

/// The handlers, by the names the definitions in `examples/` use.
pub(crate) fn handlers() -> Handlers {
    Handlers::new()
        .on_start(create_tables)
        .register("reserve-stock", reserve_stock)
        .register("release-stock", release_stock)
        .register("ship-order", ship_order)
        .register("book-supplier", book_supplier)
}

async fn create_tables(conn: &mut Connection) -> Result<(), Error> {
    // Several processes may start at once, and `IF NOT EXISTS` alone does not exclude each other.
    conn.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK}); {TABLES} COMMIT;")).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Reads a handler's input.
fn read<T: for<'de> Deserialize<'de>>(input: &HandlerInput) -> Result<T, Error> {
    serde_json::from_value(input.input.clone()).map_err(|error| Error::new("input", error.to_string()))
}

async fn reserve_stock(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    #[derive(Deserialize)]
    struct Wanted {
        article: String,
        quantity: i32,
    }
    let wanted: Wanted = read(&input)?;
    if !ARTICLES.contains(&wanted.article.as_str()) {
        return Err(Error::new("unknown_article", format!("the shop has no {}", wanted.article)));
    }
    let reserved: Id =
        sql_query("INSERT INTO shop.reservations (order_key, article, quantity) VALUES ($1, $2, $3) RETURNING id")
            .bind::<Nullable<Text>, _>(&input.key)
            .bind::<Text, _>(&wanted.article)
            .bind::<Integer, _>(wanted.quantity)
            .get_result(conn)
            .await?;
    Ok(json!({ "id": reserved.id }))
}

#[derive(Deserialize)]
struct Reserved {
    reservation: i64,
}

async fn release_stock(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    let Reserved { reservation } = read(&input)?;
    let released = sql_query("UPDATE shop.reservations SET released = true WHERE id = $1 AND NOT released")
        .bind::<BigInt, _>(reservation)
        .execute(conn)
        .await?;
    Ok(json!({ "released": released }))
}

async fn ship_order(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    let Reserved { reservation } = read(&input)?;
    let shipped: Id = sql_query("INSERT INTO shop.shipments (order_key, reservation) VALUES ($1, $2) RETURNING id")
        .bind::<Nullable<Text>, _>(&input.key)
        .bind::<BigInt, _>(reservation)
        .get_result(conn)
        .await?;
    Ok(json!({ "shipment": shipped.id }))
}

async fn book_supplier(conn: &mut Connection, input: HandlerInput) -> HandlerResult {
    #[derive(Deserialize)]
    struct Wanted {
        succeeds_at: u32,
    }
    let wanted: Wanted = read(&input)?;
    // Written before the failure, and rolled back with it: only the attempt that succeeds leaves a row.
    let booked: Id = sql_query("INSERT INTO shop.bookings (instance, attempt) VALUES ($1, $2) RETURNING id")
        .bind::<Text, _>(input.instance.to_string())
        .bind::<Integer, _>(i32::try_from(input.attempt).unwrap_or(i32::MAX))
        .get_result(conn)
        .await?;
    if input.attempt < wanted.succeeds_at {
        return Err(Error::new("busy", "the supplier is busy, try again"));
    }
    Ok(json!({ "ticket": booked.id }))
}
