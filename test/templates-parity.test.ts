// Real chat templates and small snippets, held to what transformers renders. The templates come from
// a package of the Hugging Face hub's tools; further ones from the folder that GRAFT_TEMPLATES names.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { parseExactJson } from '../src/base/exact-number.ts'
import {
  type ChatMessage,
  type ChatRenderer,
  compileChatTemplate,
} from '../src/formats/text/chat-template.ts'

const fixture = (name: string): URL => new URL(`parity/templates/${name}`, import.meta.url)

interface Result {
  readonly text?: string
  readonly error?: string
}
interface Conversation {
  readonly name: string
  readonly messages: ChatMessage[]
  readonly tools?: boolean
  readonly open?: boolean
  readonly variables?: Record<string, unknown>
}

const { tools, conversations } = parseExactJson(
  readFileSync(fixture('conversations.json'), 'utf8'),
) as { tools: object[]; conversations: Conversation[] }
const { templates, texts } = JSON.parse(
  gunzipSync(readFileSync(fixture('expected.json.gz'))).toString('utf8'),
) as {
  templates: { name: string; sha256: string; results: number[] }[]
  texts: Result[]
}
const settings = { bosToken: '<s>', eosToken: '</s>', now: new Date(2024, 6, 6, 9, 5, 3) }

/** What is rendered, or that it is refused: the words of a refusal are Python's own. */
function renderOrRefuse(render: () => string): Result {
  try {
    return { text: render() }
  } catch (error) {
    return { error: String(error) }
  }
}

const readLiteral = (literal: string): string =>
  JSON.parse(
    literal.startsWith('"')
      ? literal
      : `"${literal
          .slice(1, -1)
          .replace(/\\(.)|"/gs, (whole, sign?: string) =>
            sign === "'" ? "'" : whole === '"' ? '\\"' : whole,
          )}"`,
  ) as string

/** Template by its SHA-256. */
function readTemplates(): Map<string, string> {
  const found: string[] = []
  const packed = new URL(
    '../node_modules/@huggingface/ollama-utils/src/chat-template-automap.ts',
    import.meta.url,
  )
  if (existsSync(packed))
    for (const [, literal] of readFileSync(packed, 'utf8').matchAll(
      /gguf:\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')/gs,
    ))
      found.push(readLiteral(literal!))
  const folder = process.env['GRAFT_TEMPLATES']
  if (folder)
    for (const name of readdirSync(folder)) found.push(readFileSync(join(folder, name), 'utf8'))
  return new Map(
    found.map((template) => [createHash('sha256').update(template).digest('hex'), template]),
  )
}
const sources = readTemplates()

function compileOrRefuse(template: string): ChatRenderer {
  try {
    return compileChatTemplate(template)
  } catch (error) {
    return () => {
      throw error
    }
  }
}

const isAsExpected = (got: Result, wanted: Result): boolean =>
  wanted.text === undefined ? got.error !== undefined : got.text === wanted.text

describe('chat templates of real models', () => {
  const present = templates.filter(({ sha256 }) => sources.has(sha256))
  const names = present.map(({ name }) => name)
  it('are those of at least 15 families', ({ skip }) => {
    if (names.length === 0) skip('@huggingface/ollama-utils is not installed')
    const families = new Set(names.map((name) => /^[a-z]+/i.exec(name)?.[0]))
    expect(families.size).toBeGreaterThanOrEqual(15)
    const cases = present.flatMap(({ sha256, results }) => {
      const render = compileOrRefuse(sources.get(sha256)!)
      return conversations.map((case_, i) => {
        const got = renderOrRefuse(() => renderCase(render, case_))
        return isAsExpected(got, texts[results[i]!]!)
      })
    })
    const agreed = cases.filter(Boolean).length
    console.info(`${present.length} templates: ${agreed} of ${cases.length} renderings agree`)
    expect(agreed).toBe(cases.length)
  })

  it.each(present)('$name renders as in transformers', ({ sha256, results }) => {
    const render = compileOrRefuse(sources.get(sha256)!)
    for (const [i, case_] of conversations.entries()) {
      const wanted = texts[results[i]!]!
      const got = renderOrRefuse(() => renderCase(render, case_))
      const shown = { name: case_.name, ...(isAsExpected(got, wanted) ? wanted : got) }
      expect(shown).toEqual({ name: case_.name, ...wanted })
    }
  })
})

const renderCase = (render: ChatRenderer, { messages, open, variables, ...rest }: Conversation) =>
  render(messages, {
    ...settings,
    addGenerationPrompt: open ?? false,
    ...(variables && { variables }),
    ...(rest.tools && { tools }),
  })

describe('a snippet of a template', () => {
  const { variables, cases } = parseExactJson(readFileSync(fixture('snippets.json'), 'utf8')) as {
    variables: Record<string, unknown>
    cases: ({ template: string } & Result)[]
  }
  it.each(cases)('$template', ({ template, ...wanted }) => {
    const got = renderOrRefuse(() => compileChatTemplate(template)([], { ...settings, variables }))
    expect(isAsExpected(got, wanted) ? wanted : got).toEqual(wanted)
  })
})
