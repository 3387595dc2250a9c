import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createTokenizer } from '../formats/text/tokenizer.ts'
import { createAdapter, loadAdapter, loadModel, saveAdapter } from './index.ts'
import { findUnusedText } from './own-text.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'own-text-'))
})
afterEach(() => rm(folder, { recursive: true }))

it("names an adapter's own chat template where it differs from the base's", async () => {
  expect(await findUnusedText(folder, { chatTemplate: 'a' })).toEqual([])
  await writeFile(join(folder, 'chat_template.jinja'), 'a')
  expect(await findUnusedText(folder, { chatTemplate: 'a' })).toEqual([])
  expect(await findUnusedText(folder, { chatTemplate: 'b' })).toEqual([
    "its own chat template, which differs from the base's",
  ])
})

it('says so where its files cannot be read', async () => {
  await writeFile(join(folder, 'tokenizer_config.json'), '{')
  expect((await findUnusedText(folder, {})).join()).toMatch(/cannot be read: /)
})

const stories = new URL('../catalogue/models/stories260k/', import.meta.url)
const readStories = async () =>
  JSON.parse(await readFile(new URL('tokenizer.json', stories), 'utf8')) as {
    model: { vocab: Record<string, number> }
  }
/** The same number of tokens, two of which have changed places. */
async function readSwapped() {
  const json = await readStories()
  const { vocab } = json.model
  const [first, second] = Object.keys(vocab).slice(300, 302) as [string, string]
  const kept = vocab[first]!
  vocab[first] = vocab[second]!
  vocab[second] = kept
  return { json, first }
}

it("names an adapter's own tokenizer of the same size with other tokens", async () => {
  const tokenizer = createTokenizer(await readStories(), {})
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(await readStories()))
  expect(await findUnusedText(folder, { tokenizer })).toEqual([])
  const { json, first } = await readSwapped()
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(json))
  const id = json.model.vocab[first]
  expect(await findUnusedText(folder, { tokenizer })).toEqual([
    `its own tokenizer (512 tokens, of which 2 are not the base's, such as ${JSON.stringify(first)} as token ${id})`,
  ])
})

it('is told by loadAdapter to onNote, for a model', async () => {
  const model = await loadModel('stories260k')
  try {
    await saveAdapter(await createAdapter('lora', { rank: 1 }, model), folder)
    await writeFile(join(folder, 'chat_template.jinja'), 'another')
    const { json } = await readSwapped()
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(json))
    const notes: string[] = []
    const onNote = (note: string): void => void notes.push(note)
    await loadAdapter(folder, { model, onNote })
    expect(notes).toEqual([
      `${folder}: its own chat template, which differs from the base's is not used; the base's is.`,
      expect.stringMatching(/its own tokenizer \(512 tokens, .* is not used; the base's is\.$/),
    ])
    await expect(loadAdapter(folder, { model: model.base.graph, onNote })).rejects.toThrow(
      'because a graph has no texts',
    )
    await expect(loadAdapter(folder, { onNote })).rejects.toThrow('onNote: needs model')
  } finally {
    await model.dispose()
  }
})
