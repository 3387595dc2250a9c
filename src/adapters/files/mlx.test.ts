import { beforeAll, describe, expect, it } from 'vitest'
import { FormatError, MismatchError, NotFoundError, UnsupportedError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import type { Adapter } from '../adapter.ts'
import { attach } from '../attach.ts'
import {
  type Base,
  feedsWith,
  folderAt,
  furthest,
  logitsOf,
  memorySink,
  parity,
  readTensors,
  rowsOf,
  storiesBase,
} from '../../../test/support/adapters.ts'
import { loadMlxAdapter } from './mlx.ts'
import { loadAdapter } from './peft.ts'

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})

/** A folder as mlx-lm saves one. */
async function folderOf(config: object, tensors: ReadonlyMap<string, Tensor>) {
  const sink = memorySink()
  await sink.write('adapters.safetensors', encodeSafetensors(tensors))
  await sink.write('adapter_config.json', [new TextEncoder().encode(JSON.stringify(config))])
  return sink
}

/** [rows, columns] the other way round, element by element. */
function turned({ shape, ...tensor }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number]
  const values = toFloat32({ shape, ...tensor })
  return f32(
    [columns, rows],
    Array.from(
      { length: rows * columns },
      (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!,
    ),
  )
}

/** A PEFT adapter's tensors as mlx-lm calls and keeps them. */
const asMlx = ({ tensors }: Adapter): Map<string, Tensor> =>
  new Map(
    [...tensors].map(([key, tensor]) => {
      const name = key.replace('base_model.model.', '')
      if (name.endsWith('lora_magnitude_vector'))
        return [name.replace('lora_magnitude_vector', 'm'), tensor]
      return [
        name.replace('lora_A.weight', 'lora_a').replace('lora_B.weight', 'lora_b'),
        turned(tensor),
      ]
    }),
  )

const lora = {
  fine_tune_type: 'lora',
  num_layers: 2,
  lora_parameters: { rank: 4, scale: 1, dropout: 0.1 },
}
const parityAdapter = (name: string): Promise<Adapter> =>
  loadAdapter(folderAt(new URL(`${name}/`, parity)))

describe('loadMlxAdapter', () => {
  it.each([
    ['lora_layers', lora],
    [
      'dora_r6',
      { fine_tune_type: 'dora', num_layers: 5, lora_parameters: { rank: 6, scale: 2, dropout: 0 } },
    ],
  ])('reads %s to the logits that PEFT has', async (name, config) => {
    const adapter = await loadMlxAdapter(
      await folderOf(config, asMlx(await parityAdapter(name))),
      base.model,
    )
    expect(adapter.kind).toBe(config.fine_tune_type)
    const expected = await readTensors(new URL(`${name}/expected.safetensors`, parity))
    const inputs = await readTensors(new URL('base.safetensors', parity))
    const model = attach(base.model, adapter)
    const logits = await logitsOf(
      model,
      feedsWith(base, model, adapter, { ids: rowsOf(inputs.get('input_ids')!) }),
    )
    expect(furthest(logits, toFloat32(expected.get('logits')!))).toBeLessThan(1e-3)
  })

  it('takes ranks from the tensors, and s and dropout from the file', async () => {
    const pair = (path: string, rank: number): [string, Tensor][] => [
      [`${path}.lora_a`, f32([64, rank])],
      [`${path}.lora_b`, f32([rank, 64])],
    ]
    const tensors = new Map(
      [0, 1, 2].flatMap((n) => pair(`model.layers.${n}.self_attn.q_proj`, n === 1 ? 3 : 2)),
    )
    const { config } = await loadMlxAdapter(
      await folderOf({ ...lora, lora_parameters: { rank: 2, scale: 10, dropout: 0.1 } }, tensors),
      base.model,
    )
    const one = '^model\\.layers\\.1\\.self_attn\\.q_proj'
    expect(config).toMatchObject({
      rank: 2,
      alpha: 20,
      rankPattern: { [one]: 3 },
      alphaPattern: { [one]: 30 },
      dropout: 0.1,
    })
  })

  it('reads an embedding', async () => {
    const tensors = new Map([
      ['model.embed_tokens.lora_a', f32([512, 2])],
      ['model.embed_tokens.lora_b', f32([2, 64])],
    ])
    const adapter = await loadMlxAdapter(await folderOf(lora, tensors), base.model)
    expect([...adapter.tensors].map(([key, { shape }]) => [key, shape])).toEqual([
      ['base_model.model.model.embed_tokens.lora_embedding_A', [2, 512]],
      ['base_model.model.model.embed_tokens.lora_embedding_B', [64, 2]],
    ])
  })

  it('refuses what it does not know, naming it', async () => {
    const some = asMlx(await parityAdapter('lora_layers'))
    const load = async (config: object, tensors = some): Promise<Adapter> =>
      loadMlxAdapter(await folderOf(config, tensors), base.model)
    await expect(load({ ...lora, fine_tune_type: 'full' })).rejects.toThrow(
      'fine_tune_type is "full"',
    )
    await expect(load({ fine_tune_type: 'lora' })).rejects.toThrow(
      'lora_parameters.scale: is missing',
    )
    await expect(
      load(lora, new Map([...some, ['model.layers.0.mlp.up_proj.m', f32([172])]])),
    ).rejects.toThrow('model.layers.0.mlp.up_proj.m [172]')
    await expect(load(lora, new Map([...some].slice(1)))).rejects.toThrow(FormatError)
    const [[key]] = [...some] as [[string, Tensor]]
    await expect(load(lora, new Map([...some, [key, f32([63, 4])]]))).rejects.toThrow(MismatchError)
    await expect(load(lora, new Map([...some, [key, f32([4])]]))).rejects.toThrow(UnsupportedError)
    await expect(loadMlxAdapter(memorySink(), base.model)).rejects.toThrow(NotFoundError)
    await expect(loadAdapter(await folderOf(lora, some))).rejects.toThrow(
      'is an adapter of mlx-lm; read it with loadMlxAdapter',
    )
  })
})

it.each(['alpha', 'zq'])('a setting "%s" of lora_parameters is refused by name', async (key) => {
  const config = { lora_parameters: { rank: 2, scale: 2, [key]: 4 } }
  await expect(loadMlxAdapter(await folderOf(config, new Map()), base.model)).rejects.toThrow(
    `lora_parameters.${key}: is not supported`,
  )
})
