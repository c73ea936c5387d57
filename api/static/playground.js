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
const SIGN_OUT = `mutation { signOut(input: {}) { changed } }`;

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
  // The schema is everybody's: its pane is there with a bad token too.
  const token = params.operationName === "IntrospectionQuery" ? null : await freshToken();
  const headers = { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...options?.headers };
  const result = await base(await withIds(params), { ...options, headers });
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

const FIND = `query {
  publicFeed(first: 50) {
    nodes { post { ... on Post { id editedAt author { id handle } counts { replies } } } }
  }
}`;
const OWN = `query {
  viewer { user { handle posts(first: 20) { nodes { post { ... on Post { id author { handle } } } } } } }
}`;

// What the operations below are about. Where nothing is found, or not soon, words stand in the place of ids; they are looked up once more when an
// operation that holds them is run, for somebody may have signed in or posted since.
const PATIENCE = 1500;
const WORDS = {
  post: "p_the_id_of_a_post",
  thread: "p_the_id_of_a_thread",
  edited: "p_the_id_of_an_edited_post",
  own: "p_the_id_of_your_newest_post",
  person: "u_the_id_of_a_person",
};

async function withIds(params) {
  if (!Object.values(WORDS).some((words) => params.query.includes(words))) return params;
  const example = await findExample();
  const query = Object.keys(WORDS).reduce((text, name) => text.replaceAll(WORDS[name], example[name]), params.query);
  return { ...params, query };
}

async function findExample() {
  let posts = [];
  let mine = null;
  const finding = async () => {
    posts = (await ask(FIND)).publicFeed.nodes.map((item) => item.post).filter((post) => post.id);
    const token = await freshToken();
    mine = token && (await ask(OWN, {}, token)).viewer.user;
  };
  await Promise.race([
    finding().catch((error) => notice(error.message)),
    new Promise((late) => setTimeout(late, PATIENCE)),
  ]);
  return exampleOf(posts, mine);
}

function exampleOf(posts, mine) {
  const others = posts.filter((post) => post.author.handle !== mine?.handle);
  const post = others[0];
  // Among what somebody posted stands what they reposted.
  const own = mine?.posts.nodes.map((item) => item.post).find((each) => each.author?.handle === mine.handle);
  const answered = posts.reduce((most, next) => (next.counts.replies > (most?.counts.replies ?? -1) ? next : most), null);
  return {
    post: post?.id ?? WORDS.post,
    thread: answered?.id ?? WORDS.thread,
    edited: posts.find((each) => each.editedAt)?.id ?? post?.id ?? WORDS.edited,
    own: own?.id ?? WORDS.own,
    person: post?.author.id ?? WORDS.person,
  };
}

// Operations to begin with. Their ids are of what was found here when the page was opened.
const tabs = (example) => [
  `# Welcome. Run this first, or sign in above:
# the other tabs then ask as you.
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
  `# Follow somebody: what they post comes into
# your home. Then like, repost and answer.
mutation FollowUser {
  followUser(input: {
    userId: "${example.person}"
  }) {
    user {
      handle
      counts { followers }
      viewer { following requested }
    }
    changed
    userErrors { field code message }
  }
}
mutation LikePost {
  likePost(input: {
    postId: "${example.post}"
  }) {
    post { id counts { likes } viewer { liked } }
    changed
    userErrors { field code message }
  }
}
mutation Repost {
  repost(input: {
    postId: "${example.post}"
  }) {
    post { id counts { reposts } viewer { reposted } }
    changed
    userErrors { field code message }
  }
}
mutation Reply {
  createPost(input: {
    text: "So I have heard."
    replyTo: "${example.post}"
  }) {
    post {
      id
      text
      replyTo { ... on Post { counts { replies } } }
    }
    userErrors { field code message }
  }
}
mutation UndoRepost {
  undoRepost(input: {
    postId: "${example.post}"
  }) {
    changed
    userErrors { code message }
  }
}
mutation UnlikePost {
  unlikePost(input: {
    postId: "${example.post}"
  }) {
    changed
    userErrors { code message }
  }
}
mutation UnfollowUser {
  unfollowUser(input: {
    userId: "${example.person}"
  }) {
    changed
    userErrors { code message }
  }
}`,
  `query Trends {
  trends(kind: TAG, first: 10) {
    nodes { rank previousRank subject score startedAt }
  }
}`,
  `# Any post, with what it answers and what answers it.
query Thread {
  thread(
    postId: "${example.thread}"
    depth: 4
    branching: 5
  ) {
    ancestors { ... on Post { id text } }
    anchor {
      ... on Post {
        id
        text
        author { handle }
        counts { replies quotes }
      }
    }
    replies {
      depth
      moreReplies
      post { ... on Post { id text author { handle } } }
    }
  }
}`,
  `# A post that shows another one. Where there are
# several operations, the button asks for one.
mutation Quote {
  createPost(input: {
    text: "Worth reading:"
    quote: "${example.post}"
  }) {
    post {
      id
      text
      quote {
        ... on Post {
          id
          text
          author { handle }
          counts { quotes }
        }
      }
    }
    userErrors { field code message }
  }
}
query Quotes {
  post(id: "${example.post}") {
    ... on Post {
      text
      quotes(first: 5) {
        nodes { ... on Post { id text author { handle } } }
      }
    }
  }
}`,
  `# Pictures, films and sounds are shown by their
# address, and said in words.
mutation CreatePostWithMedia {
  createPost(input: {
    text: "Last light. #sunset"
    contentWarning: "Bright colours"
    media: [{
      url: "https://pictures.tidings.example/sun.jpg"
      mimeType: "image/jpeg"
      alt: "An orange sky over a black line of hills."
      width: 1600
      height: 900
    }]
  }) {
    post {
      id
      text
      contentWarning
      media { url mimeType alt width height }
    }
    userErrors { field code message }
  }
}`,
  `# What you are told, in groups; then mark it
# as read.
query Notifications {
  viewer {
    unreadCount
    notifications(first: 20) {
      liveCursor
      nodes {
        type
        count
        unread
        latestAt
        sampleActors { handle }
        post { ... on Post { id text } }
      }
    }
  }
}
mutation MarkNotificationsRead {
  markNotificationsRead(input: {}) {
    changed
    unreadCount
    userErrors { code message }
  }
}`,
  `# Words, and from:, tag:, before:, after:, language:
query Search {
  posts: search(query: "ladder", type: POST, first: 5) {
    nodes { ... on Post { id text author { handle } } }
  }
  people: search(query: "be", type: USER, first: 5) {
    nodes { ... on User { id handle displayName } }
  }
  tags: search(query: "#b", type: TAG, first: 5) {
    nodes { ... on Hashtag { name } }
  }
}
query Typeahead {
  typeahead(query: "be") {
    ... on User { handle displayName }
    ... on Hashtag { name }
  }
}`,
  `# Keeps a post for you alone.
mutation BookmarkPost {
  bookmarkPost(input: {
    postId: "${example.post}"
  }) {
    post { id viewer { bookmarked } }
    changed
    userErrors { field code message }
  }
}
query Bookmarks {
  viewer {
    bookmarks(first: 10) {
      nodes {
        post { ... on Post { id text author { handle } } }
      }
    }
  }
}
mutation UnbookmarkPost {
  unbookmarkPost(input: {
    postId: "${example.post}"
  }) {
    changed
    userErrors { code message }
  }
}`,
  `# What a post said before. Edit one of your own.
query Revisions {
  post(id: "${example.edited}") {
    ... on Post {
      text
      editedAt
      revisions { revision text at }
    }
  }
}
mutation EditPost {
  editPost(input: {
    postId: "${example.own}"
    text: "Said better. #tidings"
  }) {
    post { id text revisions { revision text } }
    userErrors { field code message }
  }
}`,
  `# Mute: out of your feeds. Block: neither of you
# sees the other.
mutation MuteUser {
  muteUser(input: {
    userId: "${example.person}"
  }) {
    user { handle viewer { muting } }
    userErrors { field code message }
  }
}
mutation UnmuteUser {
  unmuteUser(input: {
    userId: "${example.person}"
  }) {
    changed
    userErrors { code message }
  }
}
mutation BlockUser {
  blockUser(input: {
    userId: "${example.person}"
  }) {
    user { handle viewer { blocking following } }
    userErrors { field code message }
  }
}
mutation UnblockUser {
  unblockUser(input: {
    userId: "${example.person}"
  }) {
    changed
    userErrors { code message }
  }
}
query MutedAndBlocked {
  viewer {
    mutes { nodes { handle } }
    blocks { nodes { handle } }
  }
}`,
  `# Each runs until you stop it.
subscription LiveNotifications {
  notifications {
    __typename
    ... on NotificationAdded {
      cursor
      notification { id type count sampleActors { handle } }
    }
    ... on NotificationUpdated {
      cursor
      notification { id type count sampleActors { handle } }
    }
    ... on NotificationRemoved { cursor id }
  }
}
subscription LivePublicFeed {
  publicFeed {
    __typename
    ... on FeedItemAdded {
      cursor
      item {
        post { ... on Post { id text author { handle } } }
      }
    }
  }
}
subscription LiveHashtag {
  hashtagFeed(name: "tidings") {
    __typename
    ... on FeedItemAdded {
      cursor
      item {
        post { ... on Post { id text author { handle } } }
      }
    }
  }
}
subscription LivePost {
  post(id: "${example.post}") {
    __typename
    ... on PostUpdated {
      cursor
      post { ... on Post { counts { likes replies reposts } } }
    }
    ... on ReplyAdded {
      cursor
      post { ... on Post { text author { handle } } }
    }
  }
}
subscription LiveTrends {
  trends(kind: TAG) {
    __typename
    ... on TrendAdded { cursor trend { rank subject score } }
    ... on TrendUpdated {
      cursor
      trend { rank previousRank subject score }
    }
    ... on TrendRemoved { cursor id }
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
// Ends the session itself; of a token that was pasted the page knows no session that would be its own to end.
element("signed-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = session?.refreshToken ? await freshToken() : null;
  if (token) await ask(SIGN_OUT, {}, token).catch(() => {});
  keep(null);
  element("password").value = element("password").defaultValue;
  notice("");
});
element("token").addEventListener("change", (event) => {
  const accessToken = event.target.value.trim().replace(/^Bearer\s+/i, "");
  keep(accessToken ? { accessToken } : null);
});

show();
findExample().then((example) =>
  ReactDOM.createRoot(element("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher,
      defaultTabs: tabs(example).map((query) => ({ query })),
      shouldPersistHeaders: false,
      storage: GraphiQL.createLocalStorage?.({ namespace: "tidings" }),
    }),
  ),
);
