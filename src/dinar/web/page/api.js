// The API's page, from its own OpenAPI description at /openapi.json.
import { el } from 'dinar/dom.js';

const spec = await (await fetch('/openapi.json')).json();
const schemaOf = (s) => (s?.$ref ? spec.components.schemas[s.$ref.split('/').pop()] : s);
const kind = (s) => s.enum?.join(' | ') ?? s.anyOf?.map(kind).join(' or ') ?? (s.items ? `list of ${kind(s.items)}` : s.type ?? '');
const rows = (entries) => el('table', {}, ...entries.map((cells) => el('tr', {}, ...cells.map((c) => el('td', {}, c)))));

const operations = Object.entries(spec.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, o]) => {
  const parameters = (o.parameters ?? []).map((p) => [p.name, kind(p.schema)]);
  const form = Object.values(o.requestBody?.content ?? {}).flatMap((c) => Object.entries(schemaOf(c.schema).properties));
  return el('article', {}, el('p', {}, el('b', {}, method.toUpperCase()), ' ', el('code', {}, path)), el('p', {}, o.description ?? ''),
    rows([...parameters, ...form.map(([name, s]) => [name, `${kind(s)} (form field)`])]));
}));
const job = Object.entries(spec.components.schemas.JobState.properties).map(([n, s]) => [n, kind(s), s.description ?? '']);
const here = location.origin;
document.getElementById('root').replaceChildren(el('main.api', {},
  el('h1', {}, 'API'),
  el('p', {}, 'Post photos, ask until the state is done, get the files. Errors are {"detail": text}. ', el('a', { href: '/openapi.json' }, 'openapi.json')),
  el('pre', {}, `curl -F photos=@me.jpg ${here}/api/jobs\ncurl ${here}/api/jobs/ID\ncurl -O ${here}/api/jobs/ID/files/me.glb`),
  ...operations, el('article', {}, el('p', {}, el('b', {}, 'A job')), rows(job))));
