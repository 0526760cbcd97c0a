// A certified OpenID provider (panva's oidc-provider) that signs in whom it is told to, and lies as it is told to.
//
//   node oidc_provider.mjs <port> <redirect uri>      with the package in NODE_MODULES
//
// POST /control takes JSON: {"user": {"sub", "email", "email_verified"}}, and "fault", one of those below or "none".

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const modules = createRequire(`${process.env.NODE_MODULES}/anything.js`);
const load = (name) => import(pathToFileURL(modules.resolve(name)));
const { Provider } = await load("oidc-provider");
const jose = await load("jose");

const [port, redirectUri] = [Number(process.argv[2]), process.argv[3]];
const issuer = `http://127.0.0.1:${port}`;
const client = { id: "smart-route", secret: "s3cret: with +, % and / in it" };
const control = { user: { sub: "nobody" }, fault: "none", asked: [] };

async function newKey(kid, alg) {
  const { privateKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { ...(await jose.exportJWK(privateKey)), kid, alg, use: "sig" };
}

const first = await newKey("first", "RS256");
const stranger = await newKey("first", "RS256");
let rotated = null;

const provider = new Provider(issuer, {
  clients: [{ client_id: client.id, client_secret: client.secret, redirect_uris: [redirectUri] }],
  jwks: { keys: [first] },
  cookies: { keys: ["a key of the tests"] },
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 60, IdToken: 60, Interaction: 60, Session: 60 },
  renderError: (ctx, out) => {
    ctx.type = "text";
    ctx.body = JSON.stringify(out);
  },
  findAccount: (_, sub) => ({
    accountId: sub,
    claims: () => ({ email: control.user.email, email_verified: control.user.email_verified, sub }),
  }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: client.id, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid email");
    await grant.save();
    return grant;
  },
});

const claimFaults = {
  "wrong nonce": (claims) => ({ ...claims, nonce: "of another flow" }),
  "no nonce": ({ nonce, ...claims }) => claims,
  "wrong audience": (claims) => ({ ...claims, aud: "another client" }),
  "several audiences": (claims) => ({ ...claims, aud: [client.id, "another client"] }),
  "another party": (claims) => ({ ...claims, aud: [client.id, "another client"], azp: "another client" }),
  expired: (claims) => ({ ...claims, iat: claims.iat - 7200, exp: claims.iat - 3600 }),
  "of the future": (claims) => ({ ...claims, iat: claims.iat + 3600 }),
  "another issuer": (claims) => ({ ...claims, iss: "https://evil.example" }),
  "wrong at_hash": (claims) => ({ ...claims, at_hash: "AAAAAAAAAAAAAAAAAAAAAA" }),
  "not asked again": (claims) => ({ ...claims, auth_time: claims.iat - 3600 }),
  "no auth_time": ({ auth_time, ...claims }) => claims,
  "e-mail in the token": (claims) => ({ ...claims, email: control.user.email, email_verified: true }),
  "e-mail verified as a text": (claims) => ({ ...claims, email: control.user.email, email_verified: "true" }),
};

async function signed(claims, jwk) {
  const header = { alg: jwk.alg, kid: jwk.kid };
  return new jose.SignJWT(claims).setProtectedHeader(header).sign(await jose.importJWK(jwk));
}

function encoded(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

async function altered(idToken) {
  const claims = jose.decodeJwt(idToken);
  const fault = control.fault;
  if (fault in claimFaults) return signed(claimFaults[fault](claims), rotated ?? first);
  if (fault === "algorithm none") return `${encoded({ alg: "none", kid: "first" })}.${encoded(claims)}.`;
  if (fault === "shared secret") {
    const key = new TextEncoder().encode(client.secret);
    return new jose.SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "first" }).sign(key);
  }
  if (fault === "public key as secret") {
    const pem = await jose.exportSPKI(await jose.importJWK({ kty: first.kty, n: first.n, e: first.e, alg: "RS256" }));
    const key = new TextEncoder().encode(pem);
    return new jose.SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "first" }).sign(key);
  }
  if (fault === "key of a stranger") return signed(claims, stranger);
  return rotated ? signed(claims, rotated) : idToken;
}

provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === "/token" && ctx.body?.id_token) {
    const body = { ...ctx.body, id_token: await altered(ctx.body.id_token) };
    if (control.fault === "no id token") delete body.id_token;
    ctx.body = body;
  } else if (ctx.path === "/me" && control.fault === "userinfo of another") {
    ctx.body = { ...ctx.body, sub: "somebody else" };
  } else if (ctx.path === "/jwks" && rotated) {
    const { kty, crv, x, y, kid, alg, use } = rotated;
    ctx.body = { keys: [{ kty: "unheard of" }, { kty, crv, x, y, kid, alg, use }] };
  } else if (ctx.path === "/.well-known/openid-configuration" && control.fault === "discovery of another") {
    ctx.body = { ...ctx.body, issuer: "https://evil.example" };
  }
});

async function finishInteraction(request, response) {
  if (control.fault === "cancelled") {
    const result = { error: "access_denied", error_description: "<script>canary</script>" };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    return;
  }
  await provider.interactionFinished(request, response, { login: { accountId: control.user.sub } });
}

async function takeControl(request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  Object.assign(control, JSON.parse(Buffer.concat(parts).toString()));
  if (control.fault === "rotated keys") rotated = await newKey("second", "ES256");
  response.end(JSON.stringify({ asked: control.asked }));
}

const serve = provider.callback();

createServer(async (request, response) => {
  const path = request.url.split("?")[0];
  if (path === "/control") return takeControl(request, response);
  control.asked.push(path);
  if (control.fault === "away" && path !== "/auth") {
    response.statusCode = 503;
    return response.end();
  }
  if (control.fault === "slow" && path === "/token") return undefined;
  if (control.fault === "redirects" && path === "/token") {
    response.writeHead(307, { location: `${issuer}/elsewhere` });
    return response.end();
  }
  if (control.fault === "endless" && path === "/token") {
    response.writeHead(200, { "content-type": "application/json" });
    const flood = () => response.destroyed || response.write(Buffer.alloc(65536, " "), flood);
    return flood();
  }
  if (path.startsWith("/interaction/")) return finishInteraction(request, response);
  return serve(request, response);
}).listen(port, "127.0.0.1");
