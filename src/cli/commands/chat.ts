// graft chat: a conversation at the keyboard, during which experts can be swapped.

import { flag, string } from '../../base/schema.ts'
import { createInterface } from 'node:readline/promises'
import { GraftError } from '../../base/errors.ts'
import type { AnswerExpert } from '../../adapters/serving/fade.ts'
import type { ChatMessage } from '../../index.ts'
import type { ChatLearner } from '../learn/chat-learner.ts'
import {
  type Context,
  defineCommand,
  type Options,
  UsageError,
  type Values,
  toOption,
} from '../command.ts'
import {
  expertOption,
  loadExpert,
  nextOption,
  openExperts,
  type OpenedExperts,
} from '../shared/open-experts.ts'
import { modelOptions } from '../shared/open-model.ts'
import { ropeScalingOption } from '../shared/rope-scaling-option.ts'
import { tierOptions } from '../shared/tier-options.ts'
import { toGenerateOptions, samplingOptions } from '../shared/sampling-options.ts'
import type { Terminal } from '../ui/terminal.ts'

const options = {
  ...modelOptions,
  ...ropeScalingOption,
  ...expertOption,
  ...nextOption,
  ...samplingOptions,
  learn: flag({ about: 'learn from /up, /down and /teach, for one user' }),
  user: toOption(string({ default: 'me', about: 'whose tiers learn' }), { valueName: 'name' }),
  store: toOption(
    string({
      about: 'with --learn: where users are stored; without it what is learned ends with the chat',
    }),
    { valueName: 'folder|file.db|url' },
  ),
  ...tierOptions,
} as const satisfies Options

/** The conversation so far and the expert that answers. */
interface Conversation {
  adapter: AnswerExpert | undefined
  system: string | undefined
  messages: ChatMessage[]
  /** Under --learn. */
  readonly learner: ChatLearner | undefined
}

export const chatCommand = defineCommand({
  name: 'chat',
  summary: 'chat with the base model or an expert; swap experts during the chat',
  usage: '',
  positionals: [0, 0],
  options,
  examples: [
    { command: 'graft chat', about: 'chat with the default base model' },
    {
      command: 'graft chat --adapter .graft/quickstart',
      about: 'with an expert; /base and /adapter <folder> swap while talking',
    },
    {
      command: 'graft chat --learn --user ada --store users.db',
      about: 'learns from /up, /down and /teach <the right answer>',
    },
    {
      command: 'echo "Tell me a story" | graft chat --model stories260k --json',
      about: 'one prompt per line in, one answer per line out',
    },
  ],
  async run(context) {
    const { values, terminal } = context
    checkLearning(values)
    const opened = await openExperts(values, terminal)
    await opened.model.prepare(opened.adapter, selectAccuracy(values))
    const learner = values.learn ? await openLearning(values, opened) : undefined
    const talk: Conversation = {
      adapter: opened.answerer,
      system: values.system ?? opened.system,
      messages: [],
      learner,
    }
    terminal.note(terminal.style.faint(describeChatCommands(talk)))
    const lines = createInterface({
      input: process.stdin,
      output: process.stderr,
      prompt: '> ',
      terminal: process.stdin.isTTY === true,
    })
    let open = true // asking a closed line reader for a prompt throws
    lines.on('close', () => (open = false))
    context.signal.addEventListener('abort', () => lines.close(), { once: true })
    lines.prompt()
    for await (const line of lines) {
      if (line.trim() === '/quit') break
      if (line.trim() !== '') await handleLine(line.trim(), talk, opened, context)
      if (open) lines.prompt()
    }
    lines.close()
    await learner?.close()
    return { model: opened.model.base.name, messages: talk.messages }
  },
})

/**
 * Rejects --adapter weights with --learn, and --store without --learn (it would have no effect).
 */
function checkLearning(values: Values<typeof options>): void {
  const { learn, store } = values
  const names = ['fast-rank', 'fast-layers', 'head-rank', 'learning-rate', 'no-memory'] as const
  const given = names.find((name) => values[name] !== undefined && values[name] !== false)
  if (!learn && given !== undefined)
    throw new UsageError(`--${given} sets the tiers that learn: add --learn.`)
  if (learn && values.next)
    throw new UsageError('--next works without --learn only: leave one of them out.')
  if (!learn && store !== undefined)
    throw new UsageError('--store needs --learn: it stores what is learned.')
}

/** The user's tiers continue from the expert, where one is named. */
async function openLearning(
  values: Values<typeof options>,
  { model, adapter }: OpenedExperts,
): Promise<ChatLearner> {
  const [{ openChatLearner }, { checkOneExpert }] = await Promise.all([
    import('../learn/chat-learner.ts'),
    import('../learn/learn-users.ts'),
  ])
  return openChatLearner(model, values, checkOneExpert(adapter))
}

const describeChatCommands = ({ learner }: Conversation): string =>
  learner
    ? '/up  /down  /teach <right answer>  /system <text>  /new  /quit'
    : '/base  /adapter <folder[=weight]>  /system <text>  /new  /quit'

const describedCommands = ['help', 'adapter', 'teach'] // known, but here without their argument

/** The list of commands, after the word that is none. */
function noteUnknown(word: string | undefined, talk: Conversation, { note }: Terminal): void {
  if (!describedCommands.includes(word!)) note(`There is no command "/${word}". There are:`)
  note(describeChatCommands(talk))
}

const selectAccuracy = ({ exact }: { readonly exact: boolean }) => (exact ? 'exact' : 'fast')

/**
 * A line that begins with a slash is a command; any other goes to the model. Errors are printed,
 * and the chat continues.
 */
async function handleLine(
  line: string,
  talk: Conversation,
  opened: OpenedExperts,
  context: Context<typeof options>,
): Promise<void> {
  try {
    if (line.startsWith('/')) await handleCommand(line, talk, opened, context)
    else await answer(line, talk, opened, context)
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    context.terminal.note(`graft: ${error.message}`)
  }
}

async function handleCommand(
  line: string,
  talk: Conversation,
  { model }: OpenedExperts,
  { values, terminal }: Context<typeof options>,
): Promise<void> {
  const [word, ...rest] = line.slice(1).split(' ')
  const text = rest.join(' ')
  if (word === 'new') talk.messages = []
  else if (word === 'system') talk.system = text || undefined
  else if (talk.learner) await handleFeedback(word, text, talk, terminal)
  else if (word === 'base') talk.adapter = undefined
  else if (word === 'adapter' && text !== '') {
    const expert = await loadExpert([text], model, terminal)
    // An expert that cannot be served is refused now; the current one stays.
    await model.prepare(expert, selectAccuracy(values))
    talk.adapter = expert
  } else noteUnknown(word, talk, terminal)
}

/**
 * Applies a rating or a correction to the last answer. A correction replaces it in the
 * conversation.
 */
async function handleFeedback(
  word: string | undefined,
  text: string,
  talk: Conversation,
  terminal: Terminal,
): Promise<void> {
  const { note, style } = terminal
  if (word === 'up' || word === 'down') note(style.faint(await talk.learner!.judge(word)))
  else if (word === 'teach' && text !== '') {
    note(style.faint(await talk.learner!.teach(text)))
    if (talk.messages.length > 0)
      talk.messages = [...talk.messages.slice(0, -1), { role: 'assistant', content: text }]
  } else noteUnknown(word, talk, terminal)
}

async function answer(
  line: string,
  talk: Conversation,
  { model }: OpenedExperts,
  { values, terminal, signal }: Context<typeof options>,
): Promise<void> {
  const [{ composePrompt }, { collectFadeAdapters }] = await Promise.all([
    import('../../runtime/chat-prompt.ts'),
    import('../../adapters/serving/fade.ts'),
  ])
  const reader = collectFadeAdapters(talk.adapter)
  const prompt = composePrompt(model, line, talk.system, talk.messages, reader)
  const asked = { ...toGenerateOptions(values), signal }
  const events = talk.learner
    ? talk.learner.generate(prompt, asked)
    : model.generate(prompt, { ...asked, adapter: talk.adapter })
  for await (const event of events) {
    if (event.type === 'text-delta') terminal.write(event.text)
    else
      talk.messages = [
        ...talk.messages,
        { role: 'user', content: line },
        { role: 'assistant', content: event.text },
      ]
  }
  terminal.print()
}
