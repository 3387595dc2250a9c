// graft run: streams one answer to one prompt.

import { type Context, defineCommand, UsageError } from '../command.ts'
import {
  expertOption,
  findBaseOf,
  nextOption,
  openExperts,
  type OpenedExperts,
  trustOption,
} from '../shared/open-experts.ts'
import {
  checkGrammarAnswer,
  grammarOptions,
  readGrammarOptions,
} from '../shared/grammar-options.ts'
import { modelOptions, openDefaultModel, planOption } from '../shared/open-model.ts'
import { parseRopeScaling, ropeScalingOption } from '../shared/rope-scaling-option.ts'
import { toGenerateOptions, samplingOptions } from '../shared/sampling-options.ts'
import { formatRate } from '../ui/format.ts'
import type { Terminal } from '../ui/terminal.ts'
import type { Generation } from '../../index.ts'

const options = {
  ...modelOptions,
  ...ropeScalingOption,
  ...expertOption,
  ...nextOption,
  ...trustOption,
  ...samplingOptions,
  ...grammarOptions,
  ...planOption,
}

export const runCommand = defineCommand({
  name: 'run',
  summary: 'answer one prompt, by the base model or by an expert',
  usage: '<prompt>',
  positionals: [0, 1],
  options,
  examples: [
    {
      command: 'graft run "Once upon a time" --model stories260k',
      about: 'the model that comes with the package',
    },
    {
      command: 'graft run "Play some jazz" --adapter .graft/quickstart',
      about: 'an expert; its base is found in its files',
    },
    {
      command: 'graft run "Is this safe?" --adapter coder=0.7 --adapter security=0.3',
      about: 'two experts mixed, without a merge',
    },
    {
      command: 'graft run "A story" --adapter coder --next 20-60:poet',
      about: 'from one expert to another, within the answer',
    },
    {
      command: 'graft run "A poem" --temperature 0.8 --top-p 0.95 --seed 3',
      about: 'sampled instead of greedy',
    },
    {
      command: 'graft run "A person:" --json-schema person.json',
      about: 'JSON that fits a schema',
    },
    {
      command: 'graft run --plan --model ./model.gguf',
      about: 'the memory that it will need, and what this machine has',
    },
  ],
  async run({ values, positionals, terminal, signal }) {
    if (values.plan) return showPlan(values, terminal)
    const [text] = positionals
    if (text === undefined) throw new UsageError('an argument is missing: graft run <prompt>')
    const opened = await openExperts(values, terminal, openDefaultModel)
    const { model, answerer } = opened
    const [{ composePrompt }, { collectFadeAdapters }] = await Promise.all([
      import('../../runtime/chat-prompt.ts'),
      import('../../adapters/serving/fade.ts'),
    ])
    const system = values.system ?? opened.system
    const reader = collectFadeAdapters(answerer)
    const prompt = composePrompt(model, text, system, [], reader)
    const grammar = await readGrammarOptions(values)
    const asked = { ...toGenerateOptions(values), grammar, adapter: answerer, signal }
    for await (const event of model.generate(prompt, asked)) {
      if (event.type === 'text-delta') terminal.write(event.text)
      else {
        if (event.reason === 'eos') await checkGrammarAnswer(grammar, event.text)
        return finishAnswer(event, opened, terminal)
      }
    }
    throw new Error('internal: the answer did not end')
  },
})

async function showPlan(values: Context<typeof options>['values'], terminal: Terminal) {
  const { showModelPlan } = await import('../inspect/show-model-plan.ts')
  const { weights } = values
  const ropeScaling = parseRopeScaling(values['rope-scaling'])
  return showModelPlan(await findBaseOf(values, terminal), { weights, ropeScaling }, terminal)
}

function finishAnswer(
  answer: Generation,
  { model, named, next }: OpenedExperts,
  terminal: Terminal,
) {
  const { text, reason, promptTokens, promptMs, ids, tokensPerSecond } = answer
  const promptTokensPerSecond = (promptTokens * 1000) / promptMs
  terminal.print()
  terminal.note(
    terminal.style.faint(
      `${promptTokens} prompt tokens at ${formatRate(promptTokensPerSecond)}/s, ${ids.length} new ones at ${formatRate(tokensPerSecond)}/s, ended by ${reason}`,
    ),
  )
  return {
    model: model.base.name,
    adapter: named,
    ...(next.length > 0 && { next }),
    text,
    reason,
    promptTokens,
    newTokens: ids.length,
    promptTokensPerSecond,
    tokensPerSecond,
  }
}
