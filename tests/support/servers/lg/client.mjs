// The official JavaScript client against a server: each line of the input is a call, and what comes of
// it are lines of the output: the parts of a stream as they come, and then the answer, or the error.
// A line with a URL and a key makes another client, of that server.
// `node client.mjs PACKAGE` with PACKAGE as a file: address.
import { createInterface } from "node:readline";

const { Client } = await import(`${process.argv[2]}/dist/index.js`);
let client;
const tell = (told) => console.log(JSON.stringify(told));

// It comes again at once where a stream was cut, for which it leaves a server some seconds.
const later = globalThis.setTimeout;
globalThis.setTimeout = (due, delay, ...given) => later(due, delay < 5_000 ? 10 : delay, ...given);

for await (const line of createInterface({ input: process.stdin })) {
  const { url, key, area, call, given } = JSON.parse(line);
  if (url) {
    client = new Client({ apiUrl: url, apiKey: key || null, callerOptions: { maxRetries: 0 } });
    continue;
  }
  try {
    const answer = client[area][call](...given);
    if (!answer[Symbol.asyncIterator]) {
      tell({ answer: (await answer) ?? null });
      continue;
    }
    tell({ streams: true });
    for await (const { id, event, data } of answer) tell({ part: { id: id ?? null, event, data } });
    tell({ ended: true });
  } catch (error) {
    tell({ error: String(error.message ?? error) });
  }
}
