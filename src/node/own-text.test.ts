import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { succeed } from '../../test/support/cli.ts'
import type { Adapter } from '../adapters/adapter.ts'
import { FormatError, OptionError, UnsupportedError } from '../base/errors.ts'
import {
  createAdapter,
  type LoadedModel,
  loadAdapter,
  loadModel,
  merge,
  saveAdapter,
} from './index.ts'

const stories = new URL('../catalogue/models/stories260k/', import.meta.url)
interface TokenizerFile {
  model: { vocab: Record<string, number> }
  added_tokens: { id: number; content: string; special: boolean }[]
}
const readStories = async () =>
  JSON.parse(await readFile(new URL('tokenizer.json', stories), 'utf8')) as TokenizerFile

const template = '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ pad_token }}'
const asked = [{ role: 'user', content: 'Lily' }]

let model: LoadedModel
let folder: string
beforeAll(async () => {
  model = await loadModel('stories260k')
})
afterAll(() => model.dispose())
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'own-text-'))
})
afterEach(() => rm(folder, { recursive: true }))

const write = async (files: Readonly<Record<string, unknown>>): Promise<void> => {
  await mkdir(join(folder, 'additional_chat_templates'), { recursive: true })
  for (const [name, value] of Object.entries(files))
    await writeFile(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value))
}

/** An adapter of rank 1 in the folder, with these files beside it. */
async function loadWith(
  files: Readonly<Record<string, unknown>>,
  options: Readonly<Record<string, unknown>> = {},
  onNote?: (note: string) => void,
): Promise<Adapter> {
  const config = { rank: 1, targets: ['q_proj'], start: 'random' as const, ...options }
  await saveAdapter(await createAdapter('lora', config, model, { seed: 3 }), folder)
  await write(files)
  return loadAdapter(folder, { model, ...(onNote && { onNote }) })
}

/** The base's tokens with one more, `<new>`. */
async function addToken(id: number) {
  const json = await readStories()
  const [like] = json.added_tokens
  json.added_tokens.push({ ...like!, id, content: '<new>' })
  return json
}

/** Two tokens have changed places. */
async function swapTokens() {
  const json = await readStories()
  const { vocab } = json.model
  const [first, second] = Object.keys(vocab).slice(300, 302) as [string, string]
  const [one, two] = [vocab[first]!, vocab[second]!]
  vocab[first] = two
  vocab[second] = one
  return { json, first, second }
}

it('judges an answer that is held to a grammar by the expert’s tokens', async () => {
  const json = await readStories()
  const { vocab } = json.model
  const [a, b] = [vocab['a']!, vocab['b']!]
  vocab['a'] = b
  vocab['b'] = a
  const adapter = await loadWith({ 'tokenizer.json': json })
  const options = { grammar: { type: 'regex', pattern: 'a{4}' } as const, maxTokens: 8 }
  const prompts = [model.encode('Lily'), model.encode('Lily')]
  const [base, expert] = await model.generateBatch(prompts, {
    ...options,
    adapters: [undefined, adapter],
  })
  expect([base!.text, expert!.text]).toEqual(['aaaa', 'aaaa'])
  expect(base!.ids).not.toContain(b)
  expect(expert!.ids).not.toContain(a)
})

describe("an adapter's own chat template", () => {
  it('is what its prompts go through, in every method', async () => {
    const adapter = await loadWith({
      'chat_template.jinja': template,
      'tokenizer_config.json': { pad_token: '</s>' },
    })
    const ids = model.base.tokenizer!.encode('<user>Lily</s>')
    expect(model.encode(asked, {}, adapter)).toEqual(ids)
    expect(() => model.encode(asked)).toThrow(/no chat template/)
    const options = { adapter, maxTokens: 8 }
    const wanted = await model.complete(ids, options)
    expect(await model.complete(asked, options)).toBe(wanted)
    const [one, two] = await model.generateBatch([asked, 'Once'], {
      adapters: [adapter, undefined],
      maxTokens: 8,
    })
    expect([one!.text, two!.text]).toEqual([wanted, await model.complete('Once', { maxTokens: 8 })])
  })

  it('may be in tokenizer_config.json, or one for tools in additional_chat_templates', async () => {
    const inConfig = await loadWith({ 'tokenizer_config.json': { chat_template: 'A' } })
    expect(model.encode(asked, {}, inConfig)).toEqual(model.base.tokenizer!.encode('A'))
    const forTools = await loadWith({
      'chat_template.jinja': 'B',
      'additional_chat_templates/tool_use.jinja': 'C',
    })
    expect(model.encode(asked, { tools: [{}] }, forTools)).toEqual(
      model.base.tokenizer!.encode('C'),
    )
  })

  it('is asked to onNote where it differs from the one of the base', async () => {
    const notes: string[] = []
    await loadWith({ 'chat_template.jinja': 'A' }, {}, (note) => notes.push(note))
    expect(notes).toEqual([
      `${folder}: its own chat template, which differs from the base's, is used.`,
    ])
    await expect(
      loadAdapter(folder, { model: model.base.graph, onNote: () => undefined }),
    ).rejects.toThrow('because a graph has no texts')
    await expect(loadAdapter(folder, { onNote: () => undefined })).rejects.toThrow(
      'onNote: needs model',
    )
  })

  it('is refused with its reason where it cannot be read', async () => {
    const adapter = await loadWith({ 'tokenizer_config.json': '{' })
    expect(() => model.encode('a', {}, adapter)).toThrow(FormatError)
    expect(() => model.encode('a', {}, adapter)).toThrow(
      /The adapter's own tokenizer_config\.json cannot be read: .* Without this file the base's is used\.$/,
    )
  })

  it('answers in graft run and graft eval', async () => {
    await loadWith({ 'chat_template.jinja': template })
    const seen = await succeed([
      'run',
      'Lily',
      '-m',
      'stories260k',
      '-a',
      folder,
      '--max-tokens',
      '4',
      '--json',
    ])
    const ids = model.base.tokenizer!.encode('<user>Lily')
    expect(JSON.parse(seen.stdout)).toMatchObject({ promptTokens: ids.length })
    await writeFile(join(folder, 'rows.jsonl'), '{"prompt":"Lily","completion":"ran"}\n')
    const judged = await succeed([
      'eval',
      '--data',
      join(folder, 'rows.jsonl'),
      '-m',
      'stories260k',
      '-a',
      folder,
      '--json',
    ])
    expect(JSON.parse(judged.stdout)).toMatchObject({ rows: 1 })
  })
})

describe('kept', () => {
  const files = { 'chat_template.jinja': template, 'tokenizer_config.json': { pad_token: '</s>' } }

  it('by save, byte for byte', async () => {
    const adapter = await loadWith({ ...files, 'tokenizer.json': await addToken(512) })
    const copy = join(folder, 'copy')
    await saveAdapter(adapter, copy)
    for (const name of ['chat_template.jinja', 'tokenizer_config.json', 'tokenizer.json'])
      expect(await readFile(join(copy, name), 'utf8')).toBe(
        await readFile(join(folder, name), 'utf8'),
      )
  })

  it('once in memory where several adapters have the same', async () => {
    const one = await loadWith(files)
    expect((await loadAdapter(folder)).text).toBe(one.text)
    await write({ 'chat_template.jinja': 'another' })
    expect((await loadAdapter(folder)).text).not.toBe(one.text)
  })

  it('by a merge if all are equal, and reported if they differ', async () => {
    const one = await loadWith(files)
    expect(merge([one, one]).text).toBe(one.text)
    const other = join(folder, 'other')
    await saveAdapter(one, other)
    const out = join(folder, 'merged')
    const same = await succeed(['merge', folder, other, '--out', out, '--json'])
    expect(JSON.parse(same.stdout)).toMatchObject({ dropped: [] })
    expect(await readFile(join(out, 'chat_template.jinja'), 'utf8')).toBe(template)
    await writeFile(join(other, 'chat_template.jinja'), 'another')
    const differing = await succeed([
      'merge',
      folder,
      other,
      '--out',
      join(folder, 'two'),
      '--json',
    ])
    expect(JSON.parse(differing.stdout)).toMatchObject({ dropped: ['text'] })
  })

  it('by a merge into the base, and by a conversion', async () => {
    await loadWith(files)
    const out = join(folder, 'model')
    await succeed(['merge', folder, '--into-base', '-m', 'stories260k', '--out', out])
    const merged = await loadModel(out)
    expect(merged.base.chatTemplate).toBe(template)
    await merged.dispose()
    const half = join(folder, 'half')
    await succeed(['convert', folder, half, '--dtype', 'f16'])
    expect(await readFile(join(half, 'chat_template.jinja'), 'utf8')).toBe(template)
    const gguf = join(folder, 'a.gguf')
    const seen = await succeed([
      'convert',
      folder,
      gguf,
      '--dtype',
      'f16',
      '-m',
      'stories260k',
      '--json',
    ])
    expect(JSON.parse(seen.stdout)).toMatchObject({ dropped: ['text'] })
  })
})

describe("an adapter's own tokenizer", () => {
  it('encodes its prompts and writes its answers, where it names a row that the adapter trains', async () => {
    const json = await readStories()
    const [spare] = Object.entries(json.model.vocab).find(([, id]) => id === 511)!
    delete json.model.vocab[spare]
    json.added_tokens.push({ ...json.added_tokens[0]!, id: 511, content: '<new>', special: false })
    const merges = json.model as unknown as { merges: unknown[] }
    merges.merges = merges.merges.filter(
      (pair) => (Array.isArray(pair) ? pair.join('') : String(pair).replace(' ', '')) !== spare,
    )
    const files = { 'tokenizer.json': json, 'chat_template.jinja': '<new>' }
    const adapter = await loadWith(files, { trainableTokens: [511] })
    expect(model.encode(asked, {}, adapter)).toEqual([511])
    expect(model.encode('a<new>', {}, adapter).at(-1)).toBe(511)
    expect(model.encode('a<new>').length).toBeGreaterThan(3)
    const untrained = await loadWith(files)
    expect(model.encode('a', {}, untrained)).toEqual(model.encode('a'))
    expect(() => model.encode(asked, {}, untrained)).toThrow(UnsupportedError)
    expect(() => model.encode(asked, {}, untrained)).toThrow(
      `The expert's own tokenizer gives token 511, "<new>", which is ${JSON.stringify(model.base.tokenizer!.decode([511]))} in the base "stories260k", and the expert has trained no embedding for it.`,
    )
  })

  it('is refused for a token of which the base has no row', async () => {
    const adapter = await loadWith({ 'tokenizer.json': await addToken(512) })
    expect(model.encode('a', {}, adapter)).toEqual(model.encode('a'))
    expect(() => model.encode('<new>', {}, adapter)).toThrow(
      `The expert's own tokenizer gives token 512, "<new>", but the base "stories260k" has 512 tokens.`,
    )
  })

  it('is refused by name for a token that is another one in the base', async () => {
    const { json, first } = await swapTokens()
    const notes: string[] = []
    const adapter = await loadWith({ 'tokenizer.json': json }, {}, (note) => notes.push(note))
    const id = json.model.vocab[first]!
    expect(notes).toEqual([
      `${folder}: its own tokenizer is used (512 tokens, of which 2 are not the base's, such as ${JSON.stringify(first)} as token ${id}).`,
    ])
    const text = first.replace('▁', ' ')
    expect(() => model.encode(text, {}, adapter)).toThrow(UnsupportedError)
  })

  it('ends its answers where it has another end of text', async () => {
    const [eos] = model.config.eosTokenIds
    const plain = await loadWith({})
    const { ids } = (await model.generateBatch(['Once'], { adapter: plain, maxTokens: 6 }))[0]!
    const third = Object.entries((await readStories()).model.vocab).find(([, id]) => id === ids[2])!
    const adapter = await loadWith({
      'tokenizer.json': await readStories(),
      'tokenizer_config.json': { eos_token: third[0], bos_token: '<s>' },
    })
    const [ended] = await model.generateBatch(['Once'], { adapter, maxTokens: 6 })
    expect([ended!.reason, ended!.ids]).toEqual(['eos', ids.slice(0, ids.indexOf(ids[2]!))])
    expect(eos).not.toBe(ids[2])
  })
})

it('of a mixture is used where its adapters have the same, and refused where they differ', async () => {
  const one = await loadWith({ 'chat_template.jinja': 'A' })
  const plain = await loadWith({ 'chat_template.jinja': 'B' })
  const mix = (other: Adapter) => ({
    mixture: [one, other].map((adapter) => ({ adapter, weight: 0.5 })),
  })
  expect(model.encode(asked, {}, mix(one))).toEqual(model.base.tokenizer!.encode('A'))
  expect(() => model.encode(asked, {}, mix(plain))).toThrow(OptionError)
  expect(() => model.encode(asked, {}, mix(plain))).toThrow(
    'The adapters of this mixture have different chat templates or tokenizers',
  )
  expect(await model.complete([1, 5], { adapter: mix(plain), maxTokens: 2 })).not.toBe('')
})
