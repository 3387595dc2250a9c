import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DataError } from '../../base/errors.ts'
import { characterTokenizer, chatTemplate } from '../../../test/support/train.ts'
import { buildBatches } from '../batches/packing.ts'
import { encodeData, type EncodedSequence } from './encode.ts'
import { createRawDataset } from './jsonl.ts'

const tokenizer = characterTokenizer()
const encode = (rows: object[], options = {}) =>
  encodeData(createRawDataset(rows, 'data'), { tokenizer, maxTokens: 1000, ...options })

/** The row's text, with its labels in brackets. */
function shown({ ids, weights }: EncodedSequence, by = tokenizer): string {
  let text = ''
  ids.forEach((id, t) => {
    const before = t > 0 && weights[t - 1]! > 0
    const now = weights[t]! > 0
    text += `${before && !now ? ']' : ''}${!before && now ? '[' : ''}${by.decode([id])}`
  })
  return weights.at(-1)! > 0 ? `${text}]` : text
}
const first = (rows: object[], options = {}): string => shown(encode(rows, options).rows[0]!)

describe('encoding without a chat template', () => {
  it('learns all of a plain text, its end too', () => {
    expect(first([{ text: 'abc' }])).toBe('<s>[abc<|im_end|>]')
  })
  it('learns the completion only', () => {
    expect(first([{ prompt: '1+1=', completion: '2' }])).toBe('<s>1+1=[2<|im_end|>]')
    expect(first([{ prompt: 'a', completion: 'b' }], { system: 'S' })).toBe(
      '<s>S\n\na[b<|im_end|>]',
    )
  })
  it('refuses chats, naming the row', () => {
    const rows = [
      {
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      },
    ]
    expect(() => encode(rows)).toThrow(/row 1: The model has no chat template/)
  })
  it('does not let a token lie across the prompt and the completion', () => {
    const merging = characterTokenizer(['=2'])
    const [row] = encode([{ prompt: '1+1=', completion: '2' }], { tokenizer: merging }).rows
    expect(shown(row!, merging)).toBe('<s>1+1=[2<|im_end|>]')
    expect(row!.ids).toEqual(
      Int32Array.from(
        [0, ...'1+1=2']
          .map((sign) => (sign === 0 ? 0 : 100 + String(sign).charCodeAt(0)))
          .concat(1),
      ),
    )
  })
  it('learns the token across the boundary where a tokenizer cannot encode the parts alone', () => {
    const spaced = characterTokenizer(['=2'])
    // As SentencePiece: a space before every text, which decoding a whole takes off again.
    const odd = { ...spaced, encode: (text: string) => spaced.encode(` ${text}`) }
    const [row] = encode([{ prompt: '1+1=', completion: '2' }], { tokenizer: odd }).rows
    expect(shown(row!, spaced)).toBe(' 1+1[=2<|im_end|>]')
  })
})

describe('encoding with a chat template', () => {
  const options = { chatTemplate }
  it('learns the completion and the end of the turn, not the line break behind it', () => {
    expect(first([{ prompt: 'hi', completion: 'yo' }], options)).toBe(
      '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n[yo<|im_end|>]',
    )
  })
  it('puts the system message before rows that have none', () => {
    const system = (row: object): string => first([row], { ...options, system: 'S' })
    expect(system({ prompt: 'a', completion: 'b' })).toMatch(
      /^<\|im_start\|>system\nS<\|im_end\|>\n<\|im_start\|>user\na/,
    )
    expect(system({ prompt: 'a', completion: 'b', system: 'own' })).toMatch(
      /^<\|im_start\|>system\nown<\|im_end\|>\n<\|im_start\|>user/,
    )
  })
  it('learns every assistant turn of a chat, and nothing else', () => {
    const say = (role: string, content: string) => ({ role, content })
    const messages = [
      say('user', 'a'),
      say('assistant', 'b'),
      say('user', 'c'),
      say('assistant', 'd\n'),
      say('user', 'e'),
    ]
    expect(first([{ messages }], options)).toBe(
      '<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>]\n' +
        '<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n[d\n<|im_end|>]',
    )
  })
  it('makes a row of each turn where the template shows earlier turns otherwise', () => {
    // Thoughts stay in the last turn only, as in Qwen3.
    const thoughtful =
      "{% for m in messages %}{{ '<' + m.role + '>' }}{% if m.role == 'assistant' and loop.last %}{{ '(' + m.thought + ')' }}{% endif %}{{ m.content + '<|im_end|>' }}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b', thought: 'x' },
      { role: 'user', content: 'c' },
      { role: 'assistant', content: 'd', thought: 'y' },
    ]
    const { rows, examples } = encode([{ messages }], { chatTemplate: thoughtful })
    expect(examples).toBe(1)
    expect(rows.map((row) => shown(row))).toEqual([
      '<user>a<|im_end|><assistant>[(x)b<|im_end|>]',
      '<user>a<|im_end|><assistant>b<|im_end|><user>c<|im_end|><assistant>[(y)d<|im_end|>]',
    ])
  })
  it('does not learn what the opening of the turn holds beyond the finished turn', () => {
    const opening = chatTemplate.replace(
      "'<|im_start|>assistant\\n'",
      "'<|im_start|>assistant\\n<empty>'",
    )
    expect(first([{ prompt: 'a', completion: 'b' }], { chatTemplate: opening })).toContain(
      'assistant\n[b<|im_end|>]',
    )
  })
  it('names the rows that the template refuses', () => {
    const strict = `{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}${chatTemplate}`
    const rows = [
      { prompt: 'a', completion: 'b' },
      { prompt: 'a', completion: 'b', system: 's' },
    ]
    expect(() => encode(rows, { chatTemplate: strict })).toThrow(
      /^data: rows cannot be encoded:\n {2}row 2: .*no system role/,
    )
  })
  it('scores exactly the completions, whatever they hold', () => {
    const content = fc
      .string({ minLength: 1, maxLength: 12 })
      .filter((text) => text.trim() === text)
    fc.assert(
      fc.property(fc.array(fc.tuple(content, content), { minLength: 1, maxLength: 4 }), (turns) => {
        const messages = turns.flatMap(([asked, answered]) => [
          { role: 'user', content: asked },
          { role: 'assistant', content: answered },
        ])
        const { ids, weights } = encode([{ messages }], options).rows[0]!
        const learned = tokenizer.decode([...ids].filter((_, t) => weights[t]! > 0))
        expect(learned).toBe(turns.map(([, answered]) => `${answered}<|im_end|>`).join(''))
      }),
    )
  })
})

describe('pairs', () => {
  const say = (role: string, content: string) => ({ role, content })
  it('become two rows, chosen first, each with its own answer learned', () => {
    const data = encode([{ prompt: 'a', chosen: 'b', rejected: 'cd' }])
    expect(data).toMatchObject({ pairs: true, examples: 1 })
    expect(data.rows.map((row) => shown(row))).toEqual(['<s>a[b<|im_end|>]', '<s>a[cd<|im_end|>]'])
  })
  it('of chats learn the last turns only', () => {
    const prompt = [say('user', 'a'), say('assistant', 'b'), say('user', 'c')]
    const row = { prompt, chosen: [say('assistant', 'd')], rejected: [say('assistant', 'e')] }
    const { rows } = encode([row], { chatTemplate, system: 'S' })
    expect(rows.map((one) => /\[[^]*\]/.exec(shown(one))![0])).toEqual([
      '[d<|im_end|>]',
      '[e<|im_end|>]',
    ])
    expect(shown(rows[0]!)).toMatch(/^<\|im_start\|>system\nS/)
  })
  it('are dropped whole where one of the rows has nothing left', () => {
    const data = encode(
      [
        { prompt: 'a', chosen: 'b', rejected: 'c' },
        { prompt: 'abcdefgh', chosen: 'x', rejected: 'y' },
      ],
      { maxTokens: 6 },
    )
    expect(data).toMatchObject({ examples: 2, cut: 0, dropped: 2 })
    expect(data.rows).toHaveLength(2)
  })
})

describe('rows that are too long', () => {
  const rows = [
    { prompt: 'abc', completion: 'defgh' },
    { prompt: 'abcdefgh', completion: 'x' },
    { prompt: 'a', completion: 'b' },
  ]
  it('are cut and counted; those with nothing left to learn are dropped and counted', () => {
    const data = encode(rows, { maxTokens: 6 })
    expect(data).toMatchObject({ examples: 3, cut: 1, dropped: 1 })
    expect(data.rows.map((row) => shown(row))).toEqual(['<s>abc[de]', '<s>a[b<|im_end|>]'])
  })
  it('are an error when nothing is left at all', () => {
    expect(() => encode(rows, { maxTokens: 2 })).toThrow(DataError)
    expect(() => encode(rows, { maxTokens: 2 })).toThrow(
      'data: none of 3 rows has anything to learn within 2 tokens',
    )
  })
})

describe('weights of rows', () => {
  it('become weights of their tokens, and rows that count nothing are left out', () => {
    const data = encode([{ text: 'ab', weight: 0.25 }, { text: 'cd' }, { text: 'ef', quality: 0 }])
    expect(data.rows.map(({ weights }) => [...weights])).toEqual([
      [0, 0.25, 0.25, 0.25],
      [0, 1, 1, 1],
    ])
    expect(data).toMatchObject({ examples: 3, dropped: 1 })
    const [batch] = buildBatches({ rows: data.rows, shared: 0 }, [[[0, 1]]])
    expect([...batch!.weights].map((weight) => weight.toFixed(4))).toEqual([
      ...Array(3).fill('0.0667'),
      ...Array(3).fill('0.2667'),
    ]) // adds up to 1
  })
})
