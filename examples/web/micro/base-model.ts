// MicroLoRA on a base model: hidden states of the base, the adapter on top of them, tokens by the
// base's own head; and a text that is taught at the head, token by token, without a backward pass
// through the model.

import { HeadRows, MicroLora } from 'graftlm/micro'
import { loadModel } from 'graftlm/web'
import { getElement, runAction } from '../shared/elements.ts'

const model = await loadModel(new URL('../models/stories260k/', document.baseURI))
const head = model.head()
const { width, vocabularySize } = head
const everything = Array.from({ length: vocabularySize }, (_, token) => token)
const allRows = await head.rows(everything)
const rows = new HeadRows({
  width,
  capacity: vocabularySize,
  averageRow: new Float32Array(width), // not needed: every token is looked at
})
rows.add(everything, allRows)
const lora = new MicroLora({
  inFeatures: width,
  outFeatures: width,
  rank: 4,
  alpha: 4,
  optimizer: 'adam',
  seed: 1,
})

const encode = (text: string): number[] => model.encode(text)
const decode = (ids: readonly number[]): string => model.base.tokenizer!.decode(ids)

/** The logits of a hidden state with the adapter on it. */
async function computeLogits(hidden: Float32Array): Promise<Float32Array> {
  const changed = hidden.slice() // h′ = h + B·A·h
  lora.forwardAdd(hidden, changed)
  const { data } = await head.logits({ dtype: 'f32', shape: [1, width], data: changed })
  return data
}

/** Continues a text greedily. */
async function write(text: string, count: number): Promise<string> {
  const ids = encode(text)
  const start = ids.length
  for (let i = 0; i < count; i++) {
    const [states] = await model.hidden([ids])
    const logits = await computeLogits(states!.at(-1)!)
    ids.push(logits.indexOf(Math.max(...logits)))
  }
  return decode(ids.slice(start))
}

/** Teaches that `completion` follows `text`: the gradient of −log p of each of its tokens. */
async function learn(text: string, completion: string): Promise<number> {
  const prompt = encode(text)
  const ids = encode(`${text} ${completion}`)
  const [states] = await model.hidden([ids])
  let sum = 0
  for (let at = prompt.length; at < ids.length; at++) {
    const hidden = states![at - 1]!
    const logits = Array.from(await computeLogits(hidden))
    const most = Math.max(...logits)
    const total = most + Math.log(logits.reduce((all, one) => all + Math.exp(one - most), 0))
    const { loss, gradient } = rows.gradient({ ids: everything, logits, total, came: ids[at]! })
    lora.adapt(hidden, { gradient })
    lora.applyUpdates(0.01, { input: hidden, share: 0.2 })
    sum += loss
  }
  return sum / (ids.length - prompt.length)
}

const readField = (id: string): string => getElement(id, HTMLInputElement).value
const announce = (text: string): void => {
  getElement('state', HTMLOutputElement).textContent = text
}
async function showAnswer(): Promise<void> {
  getElement('answer', HTMLOutputElement).textContent = await write(readField('prompt'), 8)
}
getElement('form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  void runAction(showAnswer)
})
getElement('teach', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  void runAction(async () => {
    const losses: number[] = []
    for (let round = 0; round < 30; round++)
      losses.push(await learn(readField('prompt'), readField('right')))
    await showAnswer()
    announce(`loss ${losses[0]!.toFixed(3)} before, ${losses.at(-1)!.toFixed(3)} after 30 rounds`)
  })
})
announce(`${lora.statistics().parameters} numbers on hidden states of width ${width}`)
for (const id of ['write', 'learn']) getElement(id, HTMLButtonElement).disabled = false
