// The playground: GraphiQL, a bar that signs in, and operations to begin with. Nothing here asks any other host.
"use strict";

const KEY = "tidings.session";
const element = (id) => document.getElementById(id);
const endpoint = location.pathname;
const SIGN_IN = `mutation ($input: SignInInput!) {
  signIn(input: $input) { account { handle } session { accessToken refreshToken expiresAt } userErrors { message } }
}`;
const REFRESH = `mutation ($input: RefreshSessionInput!) {
  refreshSession(input: $input) { session { accessToken refreshToken expiresAt } userErrors { message } }
}`;

let session = JSON.parse(sessionStorage.getItem(KEY) ?? "null");

function keep(next) {
  session = next;
  if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
  else sessionStorage.removeItem(KEY);
  show();
}

function show() {
  element("sign-in").hidden = Boolean(session);
  element("signed-in").hidden = !session;
  element("who").textContent = session?.handle ? `Signed in as @${session.handle}` : "Using a token";
  element("token").value = session?.accessToken ?? "";
}

function notice(text, good = false) {
  element("notice").textContent = text;
  element("notice").className = good ? "good" : "";
}

async function ask(query, variables, token) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  const answer = await response.json();
  if (answer.errors) throw new Error(answer.errors[0].message);
  return answer.data;
}

function sessionOf(payload, handle) {
  if (!payload.session) throw new Error(payload.userErrors[0]?.message ?? "no session was given");
  return { ...payload.session, handle: payload.account?.handle ?? handle };
}

// An access token lives ten minutes; a session that has a refresh token is renewed before it ends.
let renewal = null;
async function freshToken() {
  if (!session) return null;
  if (session.refreshToken && Date.parse(session.expiresAt) - Date.now() < 20_000) {
    const { refreshToken, handle } = session;
    renewal ??= ask(REFRESH, { input: { refreshToken } })
      .then((data) => keep(sessionOf(data.refreshSession, handle)))
      .catch((error) => { keep(null); notice(`Signed out: ${error.message}`); })
      .finally(() => { renewal = null; });
    await renewal;
  }
  return session?.accessToken ?? null;
}

// A session that an operation of the editor brings (registerAccount, signIn) becomes the page's.
function adopt(result) {
  for (const payload of Object.values(result?.data ?? {})) {
    if (payload?.session?.accessToken) {
      keep({ ...payload.session, handle: payload.account?.handle ?? session?.handle });
      notice("Signed in: the token goes with what you send from now on.", true);
    }
  }
}

const base = GraphiQL.createFetcher({
  url: endpoint,
  enableIncrementalDelivery: false,
  subscriptionUrl: `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${endpoint}`,
});

async function fetcher(params, options) {
  const token = await freshToken();
  const headers = { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...options?.headers };
  const result = await base(params, { ...options, headers });
  if (result?.[Symbol.asyncIterator]) return withErrorsShown(result);
  adopt(result);
  return result;
}

// GraphiQL shows results; a refused subscription, or a socket that closes, throws instead of giving one.
async function* withErrorsShown(results) {
  try {
    yield* results;
  } catch (error) {
    const message = error instanceof CloseEvent ? `The connection was closed: ${error.code} ${error.reason}` : error?.message;
    yield { errors: Array.isArray(error) ? error : [{ message: message ?? String(error) }] };
  }
}

const TABS = [
  `# Welcome. Run this first: it signs you in
# for the other tabs.
mutation Register {
  registerAccount(input: {
    handle: "ada_${Math.random().toString(36).slice(2, 7)}"
    email: "ada.${Math.random().toString(36).slice(2, 9)}@example.org"
    password: "correct horse battery"
    displayName: "Ada"
  }) {
    account { id handle displayName }
    session { accessToken refreshToken expiresAt }
    userErrors { field code message }
  }
}`,
  `mutation SignIn {
  signIn(input: { handleOrEmail: "${element("name").value || "ada"}", password: "${element("password").value || "correct horse battery"}" }) {
    account { id handle }
    session { accessToken refreshToken expiresAt }
    userErrors { code message }
  }
}`,
  `mutation CreatePost {
  createPost(input: { text: "Hello, world. My first post with #tidings" }) {
    post { id text createdAt facets { kind target } counts { likes replies reposts } }
    receipt { commandId position status }
    userErrors { field code message }
  }
}`,
  `query HomeFeed {
  viewer {
    user { handle counts { followers following posts } }
    homeFeed(first: 20) {
      state
      liveCursor
      edges {
        cursor
        node {
          sortAt
          post {
            __typename
            ... on Post {
              id
              text
              createdAt
              author { handle displayName }
              counts { likes replies reposts }
              viewer { liked reposted }
            }
          }
        }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}`,
  `# Runs until you stop it. Post something from
# another window: it arrives here.
subscription LiveHomeFeed {
  homeFeed {
    __typename
    ... on FeedItemAdded {
      cursor
      item {
        sortAt
        post { ... on Post { id text author { handle } } }
      }
    }
  }
}`,
  `query Trends {
  trends(kind: TAG, first: 10) {
    nodes { rank previousRank subject score startedAt }
  }
}`,
];

element("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const data = await ask(SIGN_IN, { input: { handleOrEmail: element("name").value, password: element("password").value } });
    keep(sessionOf(data.signIn));
    element("password").value = "";
    notice("");
  } catch (error) {
    notice(error.message);
  }
});
element("signed-in").addEventListener("submit", (event) => {
  event.preventDefault();
  keep(null);
  notice("");
});
element("token").addEventListener("change", (event) => {
  const accessToken = event.target.value.trim().replace(/^Bearer\s+/i, "");
  keep(accessToken ? { accessToken } : null);
});

show();
ReactDOM.createRoot(element("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    defaultTabs: TABS.map((query) => ({ query })),
    shouldPersistHeaders: false,
    storage: GraphiQL.createLocalStorage?.({ namespace: "tidings" }),
  }),
);
