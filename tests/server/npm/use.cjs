// Uses the official JavaScript client as programs do, and prints as JSON what came of each use.
// Arguments: the server's URL, a token, a recording, and which uses; none: all. What goes wrong is told by its message.
"use strict";

const Replicate = require("replicate");
const { validateWebhook } = require("replicate");

const [url, token, recording, ...wanted] = process.argv.slice(2);
const EPIC = "fofr/musicgen-epic:3c7800f6";
const FULL = "3c7800f676fca11d742d7589f72db1dd6c8cc65a1274c952e381eaef3a3c9b43";

async function bytes(output) {
  return Buffer.from(await (await output.blob()).arrayBuffer());
}

async function collect(iterable) {
  const all = [];
  for await (const one of iterable) all.push(one);
  return all;
}

const uses = {
  async run(client) {
    const sound = await bytes(await client.run(EPIC, { input: { prompt: "epic", duration: 8 } }));
    return { head: sound.subarray(0, 4).toString("latin1"), size: sound.length };
  },
  async runOfModel(client) {
    const output = await client.run("fofr/musicgen-epic", { input: { prompt: "epic" } });
    return { size: (await bytes(output)).length };
  },
  async runByPolling(client) {
    const seen = [];
    const output = await client.run(
      EPIC,
      { input: { prompt: "epic", seed: null }, wait: { mode: "poll", interval: 50 } },
      (prediction) => seen.push(prediction.status)
    );
    return { first: seen[0], last: seen.at(-1), size: (await bytes(output)).length };
  },
  async seeds(client) {
    const sounds = [];
    for (const seed of [7, 7, 0]) {
      sounds.push(await bytes(await client.run(EPIC, { input: { prompt: "x", seed } })));
    }
    return { same: sounds[0].equals(sounds[1]), other: sounds[1].equals(sounds[2]) };
  },
  async fails(client) {
    return client.run(EPIC, { input: { prompt: "fail" } });
  },
  async wrongInput(client) {
    return client.run(EPIC, { input: { prompt: "x", top_k: -1 } });
  },
  async wrongToken() {
    return new Replicate({ auth: "wrong", baseUrl: `${url}/v1` }).accounts.current();
  },
  async createAndCancel(client) {
    const made = await client.predictions.create({ version: FULL, input: { prompt: "slow" } });
    const canceled = await client.predictions.cancel(made.id);
    const waited = await client.wait(made, { interval: 20 });
    return { made: made.status, canceled: canceled.status, waited: waited.status };
  },
  async abort(client) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    const wait = { mode: "poll", interval: 50 };
    return client.run(EPIC, { input: { prompt: "slow" }, signal: controller.signal, wait });
  },
  async deployment(client) {
    const input = { prompt: "epic" };
    const made = await client.deployments.predictions.create("fofr", "musicgen-epic", { input });
    return { status: (await client.wait(made, { interval: 20 })).status };
  },
  async pages(client) {
    const first = await client.predictions.list();
    const pages = await collect(client.paginate(client.predictions.list));
    return { output: first.results[0].output, sizes: pages.map((page) => page.length) };
  },
  async buffer(client) {
    const input_audio = require("node:fs").readFileSync(recording);
    const made = await client.predictions.create({
      version: FULL,
      input: { prompt: "x", input_audio },
    });
    const id = made.input.input_audio.split("/").pop();
    const file = await client.files.get(id);
    const listed = await client.files.list();
    return { type: file.content_type, size: file.size, isListed: listed.results[0].id === id };
  },
  async files(client) {
    const blob = new Blob([Buffer.from("RIFF....WAVEfmt ")], { type: "audio/wav" });
    const made = await client.files.create(blob, { take: 2 });
    const gone = await client.files.delete(made.id);
    return { metadata: made.metadata, gone };
  },
  async junk(client) {
    const input_audio = require("node:fs").createReadStream(recording);
    return client.run(EPIC, { input: { prompt: "x", input_audio } });
  },
  async dataUris() {
    const client = new Replicate({
      auth: token,
      baseUrl: `${url}/v1`,
      fileEncodingStrategy: "data-uri",
    });
    const input = { prompt: "x", input_audio: require("node:fs").readFileSync(recording) };
    const made = await client.predictions.create({ version: FULL, input });
    return { input: made.input };
  },
  async stream(client) {
    const events = await collect(client.stream(EPIC, { input: { prompt: "epic" } }));
    const output = events.find((event) => event.event === "output");
    const sound = await bytes(output.data);
    return { names: events.map((event) => event.event), size: sound.length };
  },
  async streamFails(client) {
    return collect(client.stream(EPIC, { input: { prompt: "fail" } }));
  },
  async catalogue(client) {
    const model = await client.models.get("fofr", "musicgen-epic");
    const version = await client.models.versions.get("fofr", "musicgen-epic", "3c7800f6");
    const versions = await client.models.versions.list("fofr", "musicgen-epic");
    const found = await client.models.search("fanfare");
    return {
      model: model.latest_version.id,
      version: version.id,
      versions: versions.results.length,
      found: found.results.map((one) => one.name),
      hardware: await client.hardware.list(),
      account: (await client.accounts.current()).type,
      collections: (await client.collections.list()).results.length,
      trainings: (await client.trainings.list()).results.length,
    };
  },
  async webhook(client) {
    const { key } = await client.webhooks.default.secret.get();
    const id = "msg_1";
    const timestamp = `${Math.floor(Date.now() / 1000)}`;
    const body = '{"id":"x"}';
    const hmac = require("node:crypto").createHmac("sha256", Buffer.from(key.slice(6), "base64"));
    const signature = `v1,${hmac.update(`${id}.${timestamp}.${body}`).digest("base64")}`;
    return { isValid: await validateWebhook({ id, timestamp, body, signature, secret: key }) };
  },
};

async function main() {
  const client = new Replicate({ auth: token, baseUrl: `${url}/v1` });
  const results = {};
  for (const [name, use] of Object.entries(uses)) {
    if (wanted.length && !wanted.includes(name)) continue;
    try {
      results[name] = await use(client);
    } catch (error) {
      results[name] = { error: String(error.message), status: error.response?.status };
    }
  }
  process.stdout.write(JSON.stringify(results));
}

main();
