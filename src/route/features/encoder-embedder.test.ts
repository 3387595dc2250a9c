// Sentence encoders against transformers' BERT (test/parity/make_encoder.py).

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { MismatchError, UnsupportedError } from '../../base/errors.ts'
import { referenceBackend } from '../../compute/reference.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { type Encoder, openEncoder } from '../../graph/encoders/open-encoder.ts'
import { createNodeBackend } from '../../node/backend.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createRouter } from '../../node/route/create-router.ts'
import { createEncoderEmbedder } from './encoder-embedder.ts'

const path = fileURLToPath(new URL('../../../test/parity/encoder', import.meta.url))
const expected = JSON.parse(readFileSync(`${path}/expected.json`, 'utf8')) as {
  readonly texts: readonly string[]
  readonly ids: readonly (readonly number[])[]
  readonly vectors: readonly (readonly number[])[]
}
const openTiny = async (): Promise<Encoder> => openEncoder(await openDirectory(path))

/** The folder with another config.json. */
async function withConfig(changes: object): Promise<ByteFolder> {
  const folder = await openDirectory(path)
  const config = JSON.parse(readFileSync(`${path}/config.json`, 'utf8')) as object
  const bytes = new TextEncoder().encode(JSON.stringify(Object.assign(config, changes)))
  return {
    name: 'changed',
    open: async (file) =>
      file === 'config.json' ? createMemorySource(file, bytes) : folder.open(file),
  }
}

describe('a sentence encoder', () => {
  it('cuts texts into the tokens of the library in Rust', async () => {
    const { tokenizer } = await openTiny()
    const own = expected.texts.slice(0, -1).map((text) => tokenizer.encode(text))
    expect(own).toEqual(expected.ids.slice(0, -1).map((ids) => ids.slice(1, -1)))
  })

  it.each([
    ['the reference', async () => referenceBackend],
    ['ONNX Runtime', async () => createNodeBackend({ threads: 1 })],
  ])('gives the vectors of transformers on %s, in one batch', async (_name, open) => {
    const embedder = createEncoderEmbedder(await openTiny(), await open(), { terms: 0 })
    const vectors = await embedder.embed(expected.texts)
    expected.vectors.forEach((wanted, n) => {
      expect(vectors[n]).toHaveLength(wanted.length)
      wanted.forEach((value, i) => expect(vectors[n]![i]).toBeCloseTo(value, 4))
    })
    await embedder.dispose()
  })

  it('is combined with hashed words, and reports its encoder', async () => {
    const embedder = createEncoderEmbedder(await openTiny(), referenceBackend, { terms: 8 })
    expect(embedder.parts).toEqual([16, 8])
    expect(embedder.settings).toEqual({ encoder: path, terms: 8, maxTokens: 256 })
    expect((await embedder.embed(['count the rows']))[0]).toHaveLength(24)
  })

  it('is opened by createRouter of graftlm/node, for training and for a file that names it', async () => {
    const examples = ['count the rows', 'count the table', 'play songs', 'play a song'].map(
      (text, i) => ({ text, expert: i < 2 ? 'sql' : 'music' }),
    )
    const experts = [{ name: 'sql' }, { name: 'music' }]
    const options = { head: 'centroid' }
    const trained = await createRouter({ experts, examples, options, encoder: path })
    const file = trained.save()
    const read = await createRouter({ file })
    const request = { text: 'playing the song' }
    expect(await read.decide(request)).toEqual(await trained.decide(request))
    expect((await read.decide(request)).expert).toBe('music')
    await Promise.all([trained.dispose(), read.dispose()])
    await expect(createRouter({ file, encoder: path } as never)).rejects.toThrow(/encoder and file/)
  })

  it('refuses other architectures, forms and sizes', async () => {
    await expect(openEncoder(await withConfig({ model_type: 'llama' }))).rejects.toThrow(
      /changed: is no sentence encoder: "model_type" is "llama", expected bert/,
    )
    await expect(openEncoder(await withConfig({ hidden_act: 'relu' }))).rejects.toThrow(
      UnsupportedError,
    )
    await expect(openEncoder(await withConfig({ intermediate_size: 24 }))).rejects.toThrow(
      MismatchError,
    )
  })
})
