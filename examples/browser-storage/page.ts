// A MicroLoRA that a browser remembers: in localStorage as JSON, and in IndexedDB as checkpoints
// with a history. Each reload teaches it more. In your own project, import from 'graftlm/learn',
// 'graftlm/micro' and 'graftlm/web'; `vite examples/browser-storage` shows this one.

import { UserCheckpoints, decodeMicroLora, encodeMicroLora } from '../../src/learn/store/index.ts'
import { MicroLora } from '../../src/micro/index.ts'
import { openIndexedDbStore } from '../../src/web/stores/indexed-db-store.ts'

const width = 64
const input = Float32Array.from({ length: width }, (_, i) => Math.sin(i))
const target = Float32Array.from({ length: width }, (_, i) => Math.cos(i))
const showLine = (text: string): void =>
  void document.body.appendChild(document.createElement('p')).append(text)

function learnOnce(lora: MicroLora): MicroLora {
  for (let step = 0; step < 20; step++) {
    lora.adapt(input, { target })
    lora.applyUpdates(0.1)
  }
  return lora
}
const report = (place: string, lora: MicroLora): void =>
  showLine(
    `${place}: ${lora.statistics().adaptations} adaptations, loss ${lora.statistics().recentLoss.toFixed(3)}`,
  )
const make = (): MicroLora =>
  new MicroLora({ inFeatures: width, outFeatures: width, rank: 2, seed: 1 })

// The simplest: one text, written whole each time; the last tab that writes wins.
const text = localStorage.getItem('graft-example')
const simple = learnOnce(text === null ? make() : MicroLora.fromJSON(text))
localStorage.setItem('graft-example', JSON.stringify(simple))
report('localStorage', simple)

// With versions: two tabs lose nothing, a torn write falls back to the one before, and every
// version can be restored.
const checkpoints = new UserCheckpoints(await openIndexedDbStore('graft-example'), { form: 'f16' })
const opened = await checkpoints.open('ada')
const kept = learnOnce(opened ? decodeMicroLora(opened.state) : make())
const { sequence, sizeBytes } = await checkpoints.write('ada', encodeMicroLora(kept), Date.now())
report('IndexedDB', kept)
showLine(`checkpoint ${sequence}, ${sizeBytes} bytes`)
document.title = 'done'
