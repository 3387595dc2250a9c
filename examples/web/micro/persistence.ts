// A MicroLoRA that a browser keeps: as text in localStorage, as versions in IndexedDB, as a file. A
// damaged file is refused, and the adapter is not changed.

import { decodeMicroLora, encodeMicroLora, UserCheckpoints } from 'graftlm/learn'
import { MicroLora } from 'graftlm/micro'
import { openIndexedDbStore } from 'graftlm/web'
import { getElement, listenToClicks, runAction, saveFile } from '../shared/elements.ts'

const width = 64
const key = 'graft-persistence'
const user = 'this browser'
const input = Float32Array.from({ length: width }, (_, i) => Math.sin(i))
const target = Float32Array.from({ length: width }, (_, i) => Math.cos(i))

const createAdapter = (): MicroLora =>
  new MicroLora({ inFeatures: width, outFeatures: width, rank: 2, seed: 1 })
const store = await openIndexedDbStore(key)
const checkpoints = new UserCheckpoints(store, { form: 'f32' })
let lora = createAdapter()

async function openKept(): Promise<void> {
  await checkpoints.open(user) // the next version is written on top of the newest one
  const text = localStorage.getItem(key)
  if (text !== null) lora = MicroLora.fromJSON(text)
  else lora = createAdapter()
  await show()
}

async function show(): Promise<void> {
  const { adaptations, recentLoss } = lora.statistics()
  getElement('state', HTMLOutputElement).textContent =
    `${adaptations} adaptations, loss ${recentLoss.toFixed(3)}`
  const versions = await checkpoints.list(user)
  const characters = localStorage.getItem(key)?.length ?? 0
  getElement('kept', HTMLOutputElement).textContent =
    `kept: ${characters} characters in localStorage; versions in IndexedDB: ` +
    (versions.map(({ sequence }) => sequence).join(', ') || 'none')
}

listenToClicks('learn', async () => {
  for (let step = 0; step < 20; step++) {
    lora.adapt(input, { target })
    lora.applyUpdates(0.1)
  }
  await show()
})
listenToClicks('keep', async () => {
  localStorage.setItem(key, JSON.stringify(lora))
  await checkpoints.write(user, encodeMicroLora(lora), Date.now())
  await show()
})
listenToClicks('restore', async () => {
  const before = (await checkpoints.list(user)).toSorted((a, b) => b.sequence - a.sequence)[1]
  if (!before) throw new Error('There is no version before this one: keep the adapter twice.')
  lora = decodeMicroLora(await checkpoints.restore(user, before.sequence, Date.now()))
  localStorage.setItem(key, JSON.stringify(lora))
  await show()
})
listenToClicks('forget', async () => {
  localStorage.removeItem(key)
  await store.forget(user)
  checkpoints.release(user)
  await openKept()
})
listenToClicks('download', () =>
  saveFile('adapter.json', new Blob([JSON.stringify(lora)], { type: 'application/json' })),
)
getElement('file', HTMLInputElement).addEventListener('change', (event) => {
  const file = (event.target as HTMLInputElement).files?.[0]
  if (!file) return
  void runAction(async () => {
    lora.restore(await file.text()) // checked first: what is refused changes nothing
    await show()
  })
})
await runAction(openKept)
