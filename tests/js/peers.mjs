// Runs operations with the clients that the protocols' authors wrote, and prints what each was given as JSON.
import { createClient as overEvents } from "graphql-sse";
import { createClient as overWebSocket } from "graphql-ws";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const documents = {
  query: "{ hello }",
  viewer: "{ me }",
  mutation: 'mutation { createThing(name: "of a peer") }',
  subscription: "subscription { count(upto: 3) }",
  invalid: "{ nope }",
  refusedAtOnce: "subscription { count(failAt: 0) }",
  refusedLater: "subscription { count(failAt: 1) }",
};

function collect(client, query) {
  return new Promise((resolve) => {
    const results = [];
    client.subscribe({ query }, {
      next: (result) => results.push({ data: result.data, codes: result.errors?.map((error) => error.extensions.code) }),
      error: (errors) => resolve([...results, { failed: Array.isArray(errors) ? errors.map((error) => error.extensions.code) : String(errors) }]),
      complete: () => resolve(results),
    });
  });
}

async function all(client) {
  // Together, so that a socket carries them at a time.
  const entries = Object.entries(documents).map(async ([name, query]) => [name, await collect(client, query)]);
  const answers = Object.fromEntries(await Promise.all(entries));
  await client.dispose();
  return answers;
}

console.log(JSON.stringify({
  websocket: await all(overWebSocket({
    url: url.replace(/^http/, "ws"),
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: `Bearer ${token}` },
    retryAttempts: 0,
  })),
  events: await all(overEvents({ url, headers: { Authorization: `Bearer ${token}` }, retryAttempts: 0 })),
}));
