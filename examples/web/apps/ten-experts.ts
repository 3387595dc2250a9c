// Ten experts over one base: taught at the first visit, kept in the browser's own file system, and
// swapped between answers.

import { loadAdapter, loadModel, saveAdapter, train, type Adapter } from 'graftlm/web'
import { createElement, getElement, runAction, waitForFrame } from '../shared/elements.ts'

const animals = ['cat', 'dog', 'bird', 'fish', 'frog', 'bear', 'duck', 'pig', 'cow', 'ant']
const names = ['Lily', 'Tom', 'Sue']
const model = await loadModel(new URL('../models/stories260k/', document.baseURI))
const experts = new Map<string, Adapter>()

const announce = (text: string): void => {
  getElement('state', HTMLOutputElement).textContent = text
}

async function trainExpert(animal: string): Promise<Adapter> {
  const data = names.map((name) => ({ text: `${name} saw a ${animal}. Bye.` }))
  const run = train({ model, data, steps: 16, learningRate: 1e-2, seed: 1 })
  const { adapter } = await run.done
  await saveAdapter(adapter, `opfs:ten-experts/${animal}`)
  return adapter
}

/** From the browser's file system, or taught where it is not there yet. */
async function openExperts(): Promise<void> {
  let taught = 0
  for (const animal of animals) {
    const kept = await loadAdapter(`opfs:ten-experts/${animal}`).catch(() => undefined)
    if (!kept) {
      taught++
      announce(`Teaching ${animal}, ${experts.size + 1} of ${animals.length}…`)
      await waitForFrame()
    }
    experts.set(animal, kept ?? (await trainExpert(animal)))
  }
  announce(`${experts.size} experts in memory, ${taught} of them taught now.`)
}

interface Timed {
  readonly text: string
  /** Milliseconds until the first token. */
  readonly first: number
}

async function answer(adapter: Adapter | undefined): Promise<Timed> {
  const prompt = getElement('prompt', HTMLInputElement).value
  const start = performance.now()
  let first = 0
  let text = ''
  for await (const event of model.generate(prompt, { adapter, maxTokens: 8, temperature: 0 })) {
    if (first === 0) first = performance.now() - start
    if (event.type === 'generation-end') text = event.text
  }
  return { text, first }
}

async function swapThroughAll(): Promise<void> {
  const rows: HTMLTableRowElement[] = []
  const before = await answer(undefined)
  for (const [animal, adapter] of experts) {
    const { text, first } = await answer(adapter)
    rows.push(
      createElement(
        'tr',
        '',
        createElement('td', '', animal),
        createElement('td', 'answer', text),
        createElement('td', 'number', first.toFixed(1)),
      ),
    )
  }
  const after = await answer(undefined)
  getElement('swaps', HTMLTableSectionElement).replaceChildren(...rows)
  getElement('table', HTMLTableElement).hidden = false
  announce(
    before.text === after.text
      ? `The base answers as before: ${after.text.trim()}`
      : 'The base answers otherwise than before, which must not be.',
  )
}

const choice = getElement('expert', HTMLSelectElement)
choice.append(
  createElement('option', '', 'the base'),
  ...animals.map((animal) => createElement('option', '', animal)),
)
getElement('ask', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  void runAction(async () => {
    const { text } = await answer(experts.get(choice.value))
    getElement('answer', HTMLOutputElement).textContent = text
  })
})
getElement('swap', HTMLButtonElement).addEventListener(
  'click',
  () => void runAction(swapThroughAll),
)
await runAction(openExperts)
for (const id of ['send', 'swap']) getElement(id, HTMLButtonElement).disabled = false
