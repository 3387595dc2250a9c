// Saves a MicroLoRA as JSON, as one safetensors file, as PEFT's folder; a damaged file is refused
// and the adapter is not changed. node examples/micro/save-and-restore.ts

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GraftError, MicroLora } from '../../src/micro/index.ts'

const lora = new MicroLora({
  inFeatures: 32,
  outFeatures: 32,
  rank: 2,
  momentum: 0.9,
  ewc: true,
  seed: 2,
})
const input = Float32Array.from({ length: 32 }, (_, i) => Math.sin(i))
for (let step = 0; step < 20; step++) {
  lora.adapt(input, { target: input, quality: 0.7 })
  lora.applyUpdates(0.1)
}

const folder = await mkdtemp(join(tmpdir(), 'graft-micro-'))
const isSame = (other: MicroLora): boolean =>
  other.forward(input).every((value, i) => value === lora.forward(input)[i])

await writeFile(join(folder, 'adapter.json'), JSON.stringify(lora)) // in a browser: localStorage.setItem('adapter', JSON.stringify(lora))
const text = await readFile(join(folder, 'adapter.json'), 'utf8')
console.log(`JSON, ${text.length} characters, the same output: ${isSame(MicroLora.fromJSON(text))}`)

await writeFile(join(folder, 'adapter.safetensors'), lora.toSafetensors())
const bytes = await readFile(join(folder, 'adapter.safetensors'))
console.log(
  `safetensors, ${bytes.length} bytes, the same output: ${isSame(await MicroLora.fromSafetensors(bytes))}`,
)

for (const [name, content] of Object.entries(lora.toPeft({ baseModel: 'none' })))
  await writeFile(join(folder, name), content)
console.log('adapter_config.json and adapter_model.safetensors, as PEFT reads them')

try {
  lora.restore(text.replace('"adaptations":20', '"adaptations":21'))
} catch (error) {
  if (!GraftError.isInstance(error)) throw error
  console.log(`refused: ${error.message}`)
}
console.log(`still ${lora.statistics().adaptations} adaptations`)
await rm(folder, { recursive: true })
