// The official JavaScript client against a server: each line of the input is a call, each of the
// output what it answered. `node client.mjs MODULES URL KEY` with MODULES as a file: address.
import { createInterface } from "node:readline";

const [modules, apiUrl, apiKey] = process.argv.slice(2);
const { Client } = await import(`${modules}/@langchain/langgraph-sdk/dist/index.js`);
const client = new Client({ apiUrl, apiKey: apiKey || null, callerOptions: { maxRetries: 0 } });

const collected = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push({ id: part.id ?? null, event: part.event, data: part.data });
  return parts;
};

for await (const line of createInterface({ input: process.stdin })) {
  const { area, call, given } = JSON.parse(line);
  let told;
  try {
    const answer = client[area][call](...given);
    told = { answer: answer[Symbol.asyncIterator] ? await collected(answer) : (await answer) ?? null };
  } catch (error) {
    told = { error: String(error.message ?? error) };
  }
  console.log(JSON.stringify(told));
}
