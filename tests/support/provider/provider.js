// An OpenID provider for the tests: it logs in whom login_hint names, without asking, with the groups it is told.
// Usage: node provider.js CONFIG.json; it says "ready" on standard output.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const config = JSON.parse(readFileSync(process.argv[2]));
const provider = new Provider(config.issuer, {
  clients: config.clients,
  jwks: config.jwks,
  claims: { openid: ['sub', 'groups', 'amr', 'acr'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['of the tests'] },
  ttl: { IdToken: () => config.ttl },
  features: { devInteractions: { enabled: false }, deviceFlow: { enabled: true } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, groups: config.groups[sub] ?? [] }) }),
});
provider.use(async (context, next) => {
  if (!context.path.startsWith('/interaction/')) return next();
  const { params } = await provider.interactionDetails(context.req, context.res);
  const accountId = params.login_hint ?? 'ada';
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const consent = { grantId: await grant.save() };
  const login = { accountId, amr: config.amr };
  return provider.interactionFinished(context.req, context.res, { login, consent });
});
createServer({ cert: readFileSync(config.cert), key: readFileSync(config.key) }, provider.callback())
  .listen(config.port, '127.0.0.1', () => console.log('ready'));
