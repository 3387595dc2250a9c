// Many users of one page: a MicroLoRA each, the two used last in memory, all in IndexedDB. A name is
// any text; it is shown as text and used as a key, never as HTML or as a path.

import { decodeMicroLora, encodeMicroLora, UserCheckpoints, UserPool } from 'graftlm/learn'
import { MicroLora } from 'graftlm/micro'
import { openIndexedDbStore } from 'graftlm/web'
import { createElement, getElement, listenToClicks, runAction } from '../shared/elements.ts'

const colours = ['red', 'green', 'blue', 'yellow']
const features = 8
const input = new Float32Array(features).fill(0.5)
const inMemory = 2

const createAdapter = (): MicroLora =>
  new MicroLora({
    inFeatures: features,
    outFeatures: colours.length,
    rank: 2,
    seed: 1,
    optimizer: 'adam',
  })
const store = await openIndexedDbStore('graft-many-users')
const pool = new UserPool<MicroLora>({
  checkpoints: new UserCheckpoints(store),
  load: (_, state) => (state ? decodeMicroLora(state) : createAdapter()),
  stateOf: encodeMicroLora,
  limitBytes: inMemory * createAdapter().toSafetensors().length,
  now: Date.now,
})

let user = 'ada'
/** Which colour is shown: an index into `colours`. */
let shown = 0

function computeChances(logits: Float32Array): number[] {
  const most = Math.max(...logits)
  const weights = Array.from(logits, (logit) => Math.exp(logit - most))
  const sum = weights.reduce((all, weight) => all + weight, 0)
  return weights.map((weight) => weight / sum)
}

/** Draws a colour by the user's chances. */
function chooseColour(chances: readonly number[]): number {
  let left = Math.random()
  const found = chances.findIndex((chance) => (left -= chance) < 0)
  return found === -1 ? chances.length - 1 : found
}

async function show(): Promise<void> {
  const { chances, samples } = await pool.use(user, (lora) => ({
    chances: computeChances(lora.forward(input)),
    samples: lora.statistics().samples,
  }))
  shown = chooseColour(chances)
  getElement('name', HTMLElement).textContent = user
  getElement('shown', HTMLOutputElement).textContent = colours[shown]!
  const shares = colours.map((colour, i) => `${colour} ${Math.round(100 * chances[i]!)} %`)
  getElement('state', HTMLOutputElement).textContent =
    `${samples} thumbs; ${shares.join(', ')}; in memory: ${pool.users.length}`
  await listUsers()
}

async function listUsers(): Promise<void> {
  const names = await store.users()
  getElement('users', HTMLUListElement).replaceChildren(
    ...names.map((name) => createElement('li', '', name)),
  )
}

async function judge(verdict: 'good' | 'bad'): Promise<void> {
  await pool.use(user, (lora, changed) => {
    const base = new Float32Array(colours.length)
    lora.adapt(input, { verdict, emitted: shown, base })
    lora.applyUpdates(0.1)
    changed()
  })
  await pool.flush()
  await show()
}

listenToClicks('up', () => judge('good'))
listenToClicks('down', () => judge('bad'))
getElement('who', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  void runAction(async () => {
    user = getElement('user', HTMLInputElement).value
    await show()
  })
})
await runAction(show)
