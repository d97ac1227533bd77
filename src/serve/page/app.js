'use strict';
// One prompt, one seed, several lanes side by side. All text goes in by textContent; nothing is asked of anyone but this server.
const $ = id => document.getElementById(id);
const FIELDS = ['prompt', 'max_tokens', 'temperature', 'top_p', 'seed'];
let models = [], lanes = [], controller = null;

const headers = () => {
  const h = { 'Content-Type': 'application/json' }, key = sessionStorage.getItem('gpt2q-key');
  if (key) h.Authorization = 'Bearer ' + key;
  return h;
};

function say(text, bad) {
  $('status').textContent = text;
  $('status').className = bad ? 'error' : '';
}

const element = (name, className, text) => {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};

const bytes = n => n >= 1e9 ? (n / 1e9).toFixed(2) + ' GB' : n >= 1e6 ? (n / 1e6).toFixed(1) + ' MB' : (n / 1e3).toFixed(0) + ' kB';

// ---- the request, the link, the curl line ----

const chosen = () => models.filter(m => document.getElementById('lane-' + m.id)?.checked);

const number = id => Number($(id).value);

const bodyOf = model => ({
  model: model.id, prompt: $('prompt').value, max_tokens: number('max_tokens'), temperature: number('temperature'),
  top_p: number('top_p'), seed: number('seed'), stream: true, logprobs: 5, return_token_ids: true,
});

function curlOf(model) {
  const body = { ...bodyOf(model) };
  for (const k of ['logprobs', 'return_token_ids']) delete body[k];
  const key = sessionStorage.getItem('gpt2q-key') ? " -H 'Authorization: Bearer '\"$GPT2Q_API_KEY\"" : '';
  return "curl -N " + location.origin + "/v1/completions -H 'Content-Type: application/json'" + key + " -d '" +
    JSON.stringify(body).replaceAll("'", "'\\''") + "'";
}

function refresh() {
  const view = new URLSearchParams();
  for (const f of FIELDS) view.set(f, $(f).value);
  for (const m of chosen()) view.append('lane', m.id);
  $('link').href = '#' + view;
  $('curl').textContent = chosen().map(curlOf).join('\n');
}

function restore() {
  const view = new URLSearchParams(location.hash.slice(1));
  for (const f of FIELDS) if (view.has(f)) $(f).value = view.get(f);
  const named = view.getAll('lane');
  if (named.length) for (const m of models) document.getElementById('lane-' + m.id).checked = named.includes(m.id);
}

// ---- models ----

function showModels() {
  $('choices').replaceChildren(...models.map((m, i) => {
    const label = element('label'), box = element('input');
    box.type = 'checkbox';
    box.id = 'lane-' + m.id;
    box.checked = i < 3;
    box.addEventListener('change', refresh);
    label.append(box, m.id + ' (' + m.meta.scheme + ', ' + bytes(m.meta.bytes) + ')');
    return label;
  }));
}

async function load() {
  try {
    const r = await fetch('v1/models', { headers: headers() });
    if (r.status === 401) {
      $('key_label').hidden = false;
      $('server').textContent = 'this server wants a key';
      return;
    }
    const answer = await r.json();
    if (!r.ok) throw new Error(answer.error.message);
    models = answer.data;
    $('server').textContent = models.length + (models.length === 1 ? ' lane' : ' lanes') + ', context ' + models[0].max_model_len;
    $('max_tokens').max = models[0].max_model_len;
    showModels();
    restore();
    refresh();
  } catch (e) {
    $('server').textContent = 'the server does not answer: ' + e.message;
    setTimeout(load, 2000);
  }
}

// ---- a lane ----

class Lane {
  constructor(model, index) {
    this.model = model;
    this.index = index;
    this.tokens = [];
    this.decoder = new TextDecoder();
    this.box = element('section', 'lane');
    this.facts = element('p', 'facts', bytes(model.meta.bytes));
    this.text = element('div', 'text');
    this.text.append(element('span', 'prompt', $('prompt').value));
    this.box.append(element('h2', '', model.id), this.facts, this.text);
    this.box.setAttribute('aria-label', model.id);
  }

  // A token that is no text by itself is named by its bytes; they become text where they are whole.
  textOf(name) {
    const raw = /^bytes:((\\x[0-9a-f]{2})+)$/.exec(name);
    if (!raw) return this.decoder.decode() + name;
    return this.decoder.decode(new Uint8Array(raw[1].match(/[0-9a-f]{2}/g).map(h => parseInt(h, 16))), { stream: true });
  }

  add(id, name, logprob, top) {
    const p = Math.exp(logprob), e = element('span', 'tok p' + (p > .9 ? 4 : p > .6 ? 3 : p > .3 ? 2 : p > .1 ? 1 : 0), this.textOf(name));
    const token = { id, name, p, top, element: e, lane: this, at: this.tokens.length };
    e.tabIndex = this.tokens.length ? -1 : 0;
    e.addEventListener('mouseenter', () => showToken(token));
    e.addEventListener('focus', () => showToken(token));
    e.addEventListener('keydown', event => move(event, token));
    this.tokens.push(token);
    this.text.append(e);
    markDivergence();
  }

  tell(finish) {
    const n = this.tokens.length, s = (performance.now() - this.started) / 1000;
    const first = this.first === undefined ? '' : ', first after ' + this.first.toFixed(0) + ' ms';
    const rate = n > 1 && this.last > this.began ? ', ' + ((n - 1) / ((this.last - this.began) / 1000)).toFixed(0) + ' tokens/s' : '';
    this.facts.textContent = bytes(this.model.meta.bytes) + ', ' + n + ' tokens' + rate + first + (finish ? ', ' + finish : '');
    return s;
  }

  fail(message) {
    this.text.append(element('p', 'error', message));
  }

  take(event) {
    if (event.error) return this.fail(event.error.message);
    for (const c of event.choices) {
      this.last = performance.now();
      if (this.first === undefined) this.began = this.last, this.first = this.last - this.started;
      const l = c.logprobs, ids = c.token_ids || [];
      for (let i = 0; l && i < l.tokens.length; i++) this.add(ids[i], l.tokens[i], l.token_logprobs[i], l.top_logprobs[i]);
      this.tell(c.finish_reason);
    }
  }

  async run(signal) {
    this.started = performance.now();
    const r = await fetch('v1/completions', { method: 'POST', headers: headers(), body: JSON.stringify(bodyOf(this.model)), signal });
    if (!r.ok) return this.fail((await r.json()).error.message);
    const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ;) {
      const { value, done } = await reader.read();
      if (done) break;
      const parts = (rest + value).split('\n\n');
      rest = parts.pop();
      for (const part of parts) {
        if (part.startsWith(': ')) this.facts.textContent = part.slice(2);
        else if (part.startsWith('data: {')) this.take(JSON.parse(part.slice(6)));
      }
    }
  }
}

// ---- what differs, what was likely ----

// The frame stands around the word alone: where a line ends before it, the space stays behind on the line above.
function markWord(token, marked) {
  const text = token.textContent, [, before, word, after] = /^(\s*)(.*?)(\s*)$/s.exec(text);
  token.classList.toggle('diverged', marked);
  if (!marked) token.textContent = text;
  else if (word) token.replaceChildren(before, element('span', 'word', word), after);
  else token.replaceChildren(element('span', 'word', text));
}

// The first place where a lane made another token than the first lane.
function markDivergence() {
  const reference = lanes[0];
  for (const lane of lanes.slice(1)) {
    const at = lane.tokens.findIndex((t, i) => i < reference.tokens.length && t.id !== reference.tokens[i].id);
    lane.tokens.forEach((t, i) => {
      if (t.element.classList.contains('diverged') !== (i === at)) markWord(t.element, i === at);
      t.element.classList.toggle('after', at >= 0 && i > at);
    });
    lane.box.dataset.divergence = at;
  }
}

function showToken(token) {
  const rows = Object.entries(token.top || {}).map(([name, lp]) => [name, Math.exp(lp)]);
  $('token_text').textContent = 'Token ' + (token.at + 1) + ' of ' + token.lane.model.id + ', id ' + token.id + ':';
  $('token_table').hidden = false;
  $('token_table').tBodies[0].replaceChildren(...rows.map(([name, p]) => {
    const tr = element('tr', name === token.name ? 'chosen' : ''), cell = element('td'), bar = element('td'), meter = element('progress');
    cell.append(element('code', '', JSON.stringify(name)));
    meter.max = 1;
    meter.value = p;
    meter.setAttribute('aria-label', (100 * p).toFixed(2) + ' %');
    bar.append(meter);
    tr.append(cell, element('td', '', (100 * p).toFixed(2) + ' %'), bar);
    return tr;
  }));
}

function move(event, token) {
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -1e9, End: 1e9 }[event.key];
  const other = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step && !other) return;
  event.preventDefault();
  const lane = lanes[Math.max(0, Math.min(lanes.length - 1, token.lane.index + (other || 0)))];
  const at = Math.max(0, Math.min(lane.tokens.length - 1, token.at + (step || 0)));
  if (!lane.tokens[at]) return;
  token.element.tabIndex = -1;
  lane.tokens[at].element.tabIndex = 0;
  lane.tokens[at].element.focus();
}

// ---- the buttons ----

async function generate(event) {
  event.preventDefault();
  if (controller) controller.abort();
  if (!chosen().length) return say('Choose a lane.', true);
  const mine = controller = new AbortController();
  refresh();
  lanes = chosen().map((m, i) => new Lane(m, i));
  $('lanes').replaceChildren(...lanes.map(l => l.box));
  $('stop').disabled = false;
  history.replaceState(null, '', $('link').href);
  say('Generating ...');
  const ends = await Promise.allSettled(lanes.map(l => l.run(mine.signal)));
  if (controller !== mine) return;
  for (const [i, e] of ends.entries()) if (e.status === 'rejected' && e.reason.name !== 'AbortError') lanes[i].fail(e.reason.message);
  const differ = lanes.slice(1).filter(l => l.box.dataset.divergence >= 0).length;
  say((mine.signal.aborted ? 'Stopped.' : 'Done.') + (lanes.length > 1 && !mine.signal.aborted ? ' ' + (differ ? differ + ' of ' + (lanes.length - 1) + ' lanes differ from the first.' : 'All lanes agree.') : ''));
  $('stop').disabled = true;
  controller = null;
}

$('form').addEventListener('submit', generate);
$('form').addEventListener('input', refresh);
$('stop').addEventListener('click', () => controller && controller.abort());
$('prompt').addEventListener('keydown', e => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) $('form').requestSubmit(); });
$('key').addEventListener('change', () => { sessionStorage.setItem('gpt2q-key', $('key').value); load(); });
$('copy').addEventListener('click', () => navigator.clipboard?.writeText($('curl').textContent).then(() => say('Copied.'), () => say('The browser does not let pages copy here.', true)));
window.addEventListener('hashchange', () => { restore(); refresh(); });
load();
