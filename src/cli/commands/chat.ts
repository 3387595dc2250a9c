// graft chat: a conversation at the keyboard, with experts swapped in and out while it goes on.

import { createInterface } from 'node:readline/promises'
import { GraftError } from '../../base/errors.ts'
import type { Adapter, ChatMessage } from '../../index.ts'
import { promptFor } from '../../runtime/ask.ts'
import { type Context, defineCommand } from '../command.ts'
import { adapterOption, modelOptions, openExpert, type OpenedExpert } from '../open-model.ts'
import { generateOptions, samplingOptions } from '../sampling-options.ts'

const options = { ...modelOptions, ...adapterOption, ...samplingOptions }

/** The conversation so far, and who answers. */
interface Talk {
  adapter: Adapter | undefined
  system: string | undefined
  messages: ChatMessage[]
}

export const chat = defineCommand({
  name: 'chat',
  summary: 'talk with the base model or an expert; swap experts while talking',
  usage: '',
  words: [0, 0],
  options,
  examples: [
    { command: 'graft chat', about: 'talk with the default base model' },
    { command: 'graft chat --adapter .graft/quickstart', about: 'with an expert; /base and /adapter <folder> swap while talking' },
    { command: 'echo "Tell me a story" | graft chat --model stories260k --json', about: 'a line in, an answer out' },
  ],
  async run(context) {
    const { values, terminal } = context
    const opened = await openExpert(values, terminal)
    const talk: Talk = { adapter: opened.adapter, system: values.system ?? opened.system, messages: [] }
    terminal.note(terminal.style.faint('/base  /adapter <folder>  /system <text>  /new  /quit'))
    const lines = createInterface({ input: process.stdin, output: process.stderr, prompt: '> ', terminal: process.stdin.isTTY === true })
    let open = true // asking a closed line reader for a prompt throws
    lines.on('close', () => (open = false))
    context.signal.addEventListener('abort', () => lines.close(), { once: true })
    lines.prompt()
    for await (const line of lines) {
      if (line.trim() === '/quit') break
      if (line.trim() !== '') await handle(line.trim(), talk, opened, context)
      if (open) lines.prompt()
    }
    lines.close()
    return { model: opened.model.base.name, messages: talk.messages }
  },
})

/** A line that begins with a slash is for us; any other is for the model. What goes wrong is said, and the talk goes on. */
async function handle(line: string, talk: Talk, opened: OpenedExpert, context: Context<typeof options>): Promise<void> {
  try {
    if (line.startsWith('/')) await control(line, talk, opened, context)
    else await answer(line, talk, opened, context)
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    context.terminal.note(`graft: ${error.message}`)
  }
}

async function control(line: string, talk: Talk, { model }: OpenedExpert, { terminal }: Context<typeof options>): Promise<void> {
  const [word, ...rest] = line.slice(1).split(' ')
  const text = rest.join(' ')
  if (word === 'new') talk.messages = []
  else if (word === 'system') talk.system = text || undefined
  else if (word === 'base') talk.adapter = undefined
  else if (word === 'adapter' && text !== '') {
    const [{ loadAdapter }, { checkAdapter }] = await Promise.all([import('../../node/index.ts'), import('../../adapters/index.ts')])
    const adapter = await loadAdapter(text)
    checkAdapter(adapter, model.base.graph)
    talk.adapter = adapter
  } else terminal.note('/base  /adapter <folder>  /system <text>  /new  /quit')
}

async function answer(
  line: string,
  talk: Talk,
  { model }: OpenedExpert,
  { values, terminal, signal }: Context<typeof options>,
): Promise<void> {
  const prompt = promptFor(model, line, talk.system, talk.messages)
  for await (const event of model.generate(prompt, { ...generateOptions(values), adapter: talk.adapter, signal })) {
    if (event.type === 'text-delta') terminal.write(event.text)
    else talk.messages = [...talk.messages, { role: 'user', content: line }, { role: 'assistant', content: event.text }]
  }
  terminal.print()
}
