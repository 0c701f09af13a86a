// A real identity provider for the tests: npm's oidc-provider, on 127.0.0.1, until stdin ends.
// node oidc_provider.mjs PORT RETURN_URL AFTER_URL CLIENT_SECRET
//
// Whoever logs in names themselves at its page; their claims come from POST /people.
import * as oidc from "oidc-provider";

const [port, returnUrl, afterUrl, secret] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const people = new Map();

const provider = new oidc.Provider(issuer, {
  clients: [
    {
      client_id: "archive",
      client_secret: secret,
      require_auth_time: true,
      redirect_uris: returnUrl.split(" "),
      post_logout_redirect_uris: afterUrl.split(" "),
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  claims: { openid: ["sub", "acr", "amr"], profile: ["preferred_username", "groups"] },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: true } },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  async findAccount(ctx, id) {
    return { accountId: id, claims: async () => ({ sub: id, ...people.get(id) }) };
  },
  async loadExistingGrant(ctx) {
    // consent is not asked for: the organisation owns both sides
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("openid profile");
    await grant.save();
    return grant;
  },
});

async function body(request) {
  let text = "";
  for await (const part of request) text += part;
  return text;
}

provider.use(async (ctx, next) => {
  if (ctx.method === "POST" && ctx.path === "/people") {
    const { sub, ...claims } = JSON.parse(await body(ctx.req));
    people.set(sub, claims);
    ctx.status = 204;
    return;
  }
  const found = ctx.path.match(/^\/interaction\/([\w-]+)$/);
  if (!found) return next();
  if (ctx.method === "GET") {
    ctx.type = "html";
    ctx.body = `<!doctype html><title>Provider</title><form method="post">
      <input name="login" autofocus><button>Sign in</button></form>`;
    return;
  }
  const given = new URLSearchParams(await body(ctx.req));
  const claims = people.get(given.get("login")) ?? {};
  await provider.interactionFinished(ctx.req, ctx.res, given.has("abort")
    ? { error: "access_denied" }
    : { login: { accountId: given.get("login"), acr: claims.acr, amr: claims.amr } });
  ctx.respond = false;
});

const server = provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
process.stdin.resume();
process.stdin.on("end", () => {
  server.closeAllConnections();
  server.close(() => process.exit(0));
});
