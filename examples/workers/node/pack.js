#!/usr/bin/env node
// An external worker for Leveret in JavaScript: packs parcels, and uses nothing of Leveret but its messages.
//
//     call: { name: pack, input: { parcel: "A-17", items: 2 }, heartbeat: 30s }
//
// A request is acknowledged when the broker has confirmed the reply. Results are kept in a journal by idempotency key, so that a
// request that arrives again is answered without doing the work again. On SIGTERM it finishes the current request; it reconnects
// when the connection is lost or the broker cancels the subscription.
//
// Usage: node pack.js [--url amqp://…] [--prefix leveret] [--name pack] [--journal pack.jsonl]   (AMQP_URL is the default of --url)
// Several hosts in the URL, or several URLs, with commas, are tried in turn. Needs `npm install` in this folder.

import { createHash, randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import amqp from "amqplib";

const APP_ID = "packer-node";
const SCHEMA = 1;
// Milliseconds: the first pause before a reconnect, and the longest one.
const RETRY_AFTER = 500;
const RETRY_MAX = 30_000;
// A node must answer within this time.
const CONNECT_FOR = 4_000;

/** Fails the call: `worker.<code>` in the definition. */
class WorkError extends Error {
  constructor(code, message, data) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

// --- the work itself --------------------------------------------------------------------------------------------------------

/** Returns the same result for the same idempotency key. */
async function pack(request, progress) {
  const { parcel, items, seconds_per_item = 0 } = request.input;
  if (items < 1) throw new WorkError("nothing_to_pack", `parcel ${parcel} has no items`, { parcel });
  for (let item = 1; item <= items; item++) {
    await sleep(seconds_per_item * 1000);
    // The reply reports the last one: a report just before it might be handled after it, and be too late.
    if (item < items) await progress({ packed: item, of: items });
  }
  const label = sha256(request.idempotency_key).slice(0, 8).toUpperCase();
  return { parcel, label, packed_by: APP_ID };
}

// --- what every worker needs ------------------------------------------------------------------------------------------------

/** Results by idempotency key. A worker with a database writes this in the transaction of its work. */
class Journal {
  constructor(path) {
    const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
    this.done = new Map(lines.map((line) => JSON.parse(line)).map(({ key, result }) => [key, result]));
    this.file = openSync(path, "a");
  }

  keep(key, result) {
    writeSync(this.file, `${JSON.stringify({ key, result })}\n`);
    fsyncSync(this.file);
    this.done.set(key, result);
  }

  close() {
    closeSync(this.file);
  }
}

class Worker {
  constructor(options) {
    this.options = options;
    this.queue = `${options.prefix}.work.${options.name}`;
    this.journal = new Journal(options.journal);
    this.stop = new AbortController();
    /** Running work by idempotency key; it survives a lost connection. */
    this.running = new Map();
  }

  /** Handles requests until it is asked to stop, and reconnects as necessary. */
  async run() {
    let wait = RETRY_AFTER;
    while (!this.stop.signal.aborted) {
      try {
        await this.consume(() => (wait = RETRY_AFTER));
      } catch (error) {
        if (this.stop.signal.aborted) break;
        console.error(`not consuming: ${error}`);
        await sleep(wait * (0.5 + Math.random() / 2), undefined, { signal: this.stop.signal }).catch(() => {});
        wait = Math.min(wait * 2, RETRY_MAX);
      }
    }
    await Promise.allSettled(this.running.values());
    this.journal.close();
  }

  /** One connection. Returns when asked to stop, and throws when the connection is lost or the subscription was cancelled. */
  async consume(onConnected) {
    const connection = await connect(nodes(this.options.url));
    const channel = await connection.createConfirmChannel();
    const lost = new Promise((_, reject) => {
      for (const it of [connection, channel]) {
        it.on("error", reject);
        it.on("close", () => reject(new Error("the connection was closed")));
      }
    });
    lost.catch(() => {});
    // A mandatory message without a queue is returned, and confirmed as well.
    channel.returned = new Set();
    channel.on("return", (message) => channel.returned.add(message.properties.messageId));
    try {
      await channel.prefetch(1);
      // The same declaration as in Leveret, so that either may declare it first.
      await channel.assertQueue(this.queue, {
        durable: true,
        arguments: {
          "x-queue-type": "quorum",
          "x-dead-letter-exchange": `${this.options.prefix}.dead`,
          "x-delivery-limit": 50,
        },
      });
      let handling = Promise.resolve();
      // The queue was deleted, or the work exceeded the consumer timeout (RabbitMQ 4.3): the request that is handled now gets its reply.
      const cancelled = new Promise((resolve) => (channel.onCancel = resolve));
      const failed = new Promise((_, reject) => {
        const onMessage = (message) => {
          if (message === null) {
            channel.isCancelled = true;
            return channel.onCancel();
          }
          handling = handling.then(() => this.handle(channel, message)).catch(reject);
        };
        channel.consume(this.queue, onMessage, { noAck: false }).then(({ consumerTag }) => {
          this.stop.signal.addEventListener("abort", () => channel.cancel(consumerTag).catch(() => {}), { once: true });
          onConnected();
          console.log(`consuming ${this.queue}`);
        }, reject);
      });
      const stopped = new Promise((resolve) => this.stop.signal.addEventListener("abort", resolve, { once: true }));
      await Promise.race([lost, failed, stopped, cancelled]);
      await Promise.race([lost, handling]);
      // A new connection, because the old consumer is there until its channel is closed (RabbitMQ 4.3), and gets requests.
      if (channel.isCancelled) throw new Error(`the broker has cancelled the subscription of ${this.queue}`);
      // Sent on the channel, and therefore after the last acknowledgement.
      await channel.close();
    } finally {
      await connection.close().catch(() => {});
    }
  }

  async handle(channel, message) {
    let request;
    let every;
    try {
      request = JSON.parse(message.content);
      if (request.schema !== SCHEMA) throw new Error(`schema ${request.schema}`);
      every = request.heartbeat_for && milliseconds(request.heartbeat_for) / 3;
    } catch (error) {
      console.error(`rejecting a message that is not a request: ${error}`);
      return channel.nack(message, false, false); // to Leveret's dead letters
    }
    if (request.deadline && Date.parse(request.deadline) < Date.now()) return channel.ack(message); // too late
    const reply = new Reply(channel, message, request);
    const beat = () => reply.send("call.heartbeat", {}).catch((error) => console.error(`a heartbeat could not be sent: ${error}`));
    if (every) beat(); // the first one at once: from then on a missing heartbeat counts
    const heartbeat = every && setInterval(beat, every);
    try {
      await reply.send("call.complete", await this.outcome(request, (progress) => reply.send("call.progress", { progress })));
    } finally {
      clearInterval(heartbeat);
    }
    // After the confirm: if the worker dies before, the request is redelivered, and the journal has the answer. After a cancel the
    // request is no longer ours: if it arrives again, the same reply is sent again.
    if (!channel.isCancelled) channel.ack(message);
  }

  /** The outcome. A request that arrives again while its work is running waits for the same outcome. */
  outcome(request, progress) {
    const key = request.idempotency_key;
    const running = this.running.get(key) ?? this.work(request, progress).finally(() => this.running.delete(key));
    this.running.set(key, running);
    return running;
  }

  async work(request, progress) {
    const key = request.idempotency_key;
    // The work continues if its progress cannot be sent.
    const report = (what) => progress(what).catch((error) => console.error(`progress could not be sent: ${error}`));
    try {
      if (!this.journal.done.has(key)) this.journal.keep(key, await pack(request, report));
      return { result: this.journal.done.get(key) };
    } catch (error) {
      if (error instanceof WorkError) return { error: { code: error.code, message: error.message, data: error.data } };
      // A bug is reported as well, so that the call does not have to wait for its deadline.
      return { error: { code: "unexpected", message: String(error) } };
    }
  }
}

/** Sends the replies about one attempt. */
class Reply {
  constructor(channel, message, request) {
    this.channel = channel;
    this.request = request;
    this.exchange = message.properties.replyTo;
    const { traceparent } = message.properties.headers;
    this.headers = { schema: SCHEMA, ...(traceparent && { traceparent }) };
  }

  /** Resolves when the broker has confirmed the message. */
  send(kind, body) {
    const { call, token, name } = this.request;
    // The id of an outcome is derived from the token, so that it counts once; each heartbeat has a new id.
    const messageId = kind === "call.complete" ? sha256(token) : randomUUID();
    const properties = {
      type: kind,
      appId: APP_ID,
      messageId,
      correlationId: call,
      contentType: "application/json",
      persistent: true,
      mandatory: true,
      timestamp: Math.floor(Date.now() / 1000),
      headers: this.headers,
    };
    const bytes = Buffer.from(JSON.stringify({ call, token, ...body }));
    return new Promise((resolve, reject) => {
      const confirmed = (error) => {
        if (this.channel.returned.delete(messageId)) error ??= new Error("no queue takes the reply");
        error ? reject(error) : resolve();
      };
      this.channel.publish(this.exchange, `${kind}.${name}`, bytes, properties, confirmed);
    });
  }
}

/** The nodes of the broker in the order in which to try them: from a random one, so that workers spread. */
function nodes(url) {
  const urls = url.split(/,(?=amqps?:\/\/)/).flatMap((one) => {
    const [, before, hosts, after] = one.match(/^(amqps?:\/\/(?:[^/?]*@)?)([^/?]*)(.*)$/);
    return hosts.split(",").map((host) => before + host + after);
  });
  const first = Math.floor(Math.random() * urls.length);
  return [...urls.slice(first), ...urls.slice(0, first)];
}

/** A connection to the first node that answers. */
async function connect([node, ...others]) {
  try {
    return await amqp.connect(node, { timeout: CONNECT_FOR });
  } catch (error) {
    if (others.length === 0) throw error;
    return connect(others);
  }
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}

/** Parses a duration of Leveret: 30s, 1m30s, 250ms. */
function milliseconds(text) {
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
  return [...text.matchAll(/(\d+)(ms|s|m|h|d|w)/g)].reduce((sum, [, number, unit]) => sum + number * units[unit], 0);
}

const { values: options } = parseArgs({
  options: {
    url: { type: "string", default: process.env.AMQP_URL ?? "amqp://127.0.0.1:5672/%2f" },
    prefix: { type: "string", default: "leveret" },
    name: { type: "string", default: "pack" },
    journal: { type: "string", default: "pack.jsonl" },
  },
});
const worker = new Worker(options);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => worker.stop.abort());
await worker.run();
console.log("stopped");
