// graft train: teaches an expert from a JSONL file.

import { join } from 'node:path'
import type { DataInput } from '../../node/index.ts'
import { type Context, defineCommand, UsageError } from '../command.ts'
import { defaultModel, modelOptions, openModel } from '../open-model.ts'
import { shownPath } from '../shown-path.ts'
import { showTraining, type TrainEnd } from '../training-view.ts'
import type { Terminal } from '../ui/terminal.ts'

const options = {
  ...modelOptions,
  data: {
    type: 'text',
    value: 'file.jsonl',
    short: 'd',
    required: true,
    about: 'rows: messages, prompt + completion, instruction + output, or text',
  },
  out: { type: 'text', value: 'folder', short: 'o', required: true, about: 'where the expert goes' },
  kind: { type: 'text', default: 'lora', about: 'kind of adapter; graft adapters lists them' },
  rank: { type: 'integer', least: 1, about: 'rank of the detours; 16 for lora and dora unless given' },
  alpha: { type: 'number', about: 'their scale; twice the rank unless given' },
  targets: { type: 'text', value: 'names', about: 'a preset, or names with commas: q_proj,v_proj; all-linear unless given' },
  rslora: { type: 'flag', about: 'scale by alpha/√rank instead of alpha/rank' },
  dropout: { type: 'number', least: 0, default: 0, about: "share of a detour's input that is dropped" },
  'learning-rate': { type: 'number', least: 0, default: 1e-3, about: 'of the highest step' },
  epochs: { type: 'integer', least: 1, default: 1, about: 'times that each row is seen' },
  steps: { type: 'integer', least: 1, about: 'steps in all, instead of epochs' },
  'batch-rows': { type: 'integer', least: 1, default: 4, about: 'lines of a batch' },
  'batch-tokens': { type: 'integer', least: 2, default: 256, about: 'tokens of a line; several rows share one' },
  'max-tokens': { type: 'integer', least: 2, about: 'longer rows are cut; --batch-tokens unless given' },
  accumulation: { type: 'integer', least: 1, default: 1, about: 'batches that make one step' },
  schedule: { type: 'text', default: 'cosine', choices: ['constant', 'cosine', 'linear'], about: 'how the learning rate falls' },
  warmup: { type: 'number', least: 0, default: 0.05, about: 'share of the steps over which it rises first' },
  clip: { type: 'number', least: 0, default: 1, about: 'largest norm of the gradient; 0: no limit' },
  'weight-decay': { type: 'number', least: 0, default: 0, about: "AdamW's decay" },
  seed: { type: 'integer', default: 0, about: 'same seed and data, same expert' },
  validation: { type: 'text', value: 'file|share', about: 'rows to validate on: another file, or a share of the data such as 0.1' },
  'validate-every': { type: 'integer', least: 1, value: 'steps', about: 'else at the end of each epoch' },
  'save-every': { type: 'integer', least: 1, value: 'steps', about: 'checkpoints to go on from; 25 unless given' },
  system: { type: 'text', value: 'text', about: 'system message for rows that have none; the expert remembers it' },
  checkpointing: { type: 'flag', about: 'compute layers twice instead of keeping them: less memory, more time' },
  resume: { type: 'flag', about: 'go on from the checkpoint in --out' },
  overwrite: { type: 'flag', about: 'replace what an earlier run left in --out' },
} as const

export const train = defineCommand({
  name: 'train',
  summary: 'teach an expert (LoRA) from a JSONL file',
  usage: '--data <file.jsonl> --out <folder>',
  words: [0, 0],
  options,
  examples: [
    { command: 'graft train --data rows.jsonl --out my-expert', about: 'LoRA r16 on all linear layers of the default base, one epoch' },
    {
      command: 'graft train --data rows.jsonl --out my-expert --validation 0.1 --epochs 3',
      about: 'keeps the epoch that does best on a tenth of the rows',
    },
    { command: 'graft train --data rows.jsonl --out my-expert --resume', about: 'goes on where Ctrl-C or a power cut ended it' },
  ],
  async run(context) {
    const { values, terminal, signal, setExitCode } = context
    const [{ train: run }, { presets }] = await Promise.all([import('../../node/index.ts'), import('../../adapters/index.ts')])
    const chosen = settings(values, [...presets.keys()])
    const model = await openModel(values.model ?? defaultModel, values, terminal)
    terminal.say(`${terminal.style.strong(values.out)}: ${values.kind} on ${model.base.name}, from ${values.data}`)
    const end = await showTraining(run({ ...chosen, model, signal, date: new Date() }), terminal)
    sayEnd(end, values, terminal)
    if (end.reason === 'stopped') setExitCode(1)
    return summary(end, values)
  },
})

type TrainValues = Context<typeof options>['values']

/** A preset stays a word; names become a list; anything else is a regular expression over module paths. */
export function targetsOf(text: string, presetNames: readonly string[]): string | string[] {
  if (presetNames.includes(text)) return text
  return /^[\w.]+(\s*,\s*[\w.]+)*$/.test(text.trim()) ? text.split(',').map((name) => name.trim()) : text
}

/** What is taken where nothing is given; kinds that are not named here have defaults of their own, and not every option. */
const usual: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  lora: { rank: 16, targets: 'all-linear' },
  dora: { rank: 16, targets: 'all-linear' },
  lokr: { targets: 'all-linear' },
  loha: { targets: 'all-linear' },
  vera: { targets: 'all-linear' },
}

function configOf({ alpha, dropout, kind, rank, rslora, targets }: TrainValues, presetNames: readonly string[]): Record<string, unknown> {
  return {
    ...usual[kind],
    ...(targets !== undefined && { targets: targetsOf(targets, presetNames) }),
    ...(rank !== undefined && { rank }),
    ...(alpha !== undefined && { alpha }),
    ...(rslora && { rankStabilized: true }),
    ...(dropout > 0 && { dropout }),
  }
}

function settings(values: TrainValues, presetNames: readonly string[]) {
  const { steps, system } = values
  return {
    data: values.data,
    out: values.out,
    adapter: { kind: values.kind, config: configOf(values, presetNames) },
    learningRate: values['learning-rate'],
    epochs: values.epochs,
    batch: { rows: values['batch-rows'], tokens: values['batch-tokens'] },
    accumulation: values.accumulation,
    schedule: values.schedule,
    warmupShare: values.warmup,
    clip: values.clip,
    weightDecay: values['weight-decay'],
    seed: values.seed,
    checkpointing: values.checkpointing,
    resume: values.resume,
    overwrite: values.overwrite,
    validation: validationOf(values.validation),
    validateEverySteps: values['validate-every'],
    saveEverySteps: values['save-every'],
    ...(steps !== undefined && { steps }),
    ...(values['max-tokens'] !== undefined && { maxTokens: values['max-tokens'] }),
    ...(system !== undefined && { system }),
  }
}

/** A number is a share of the data, anything else a file. */
function validationOf(text: string | undefined): DataInput | number | undefined {
  if (text === undefined || text.trim() === '' || !Number.isFinite(Number(text))) return text
  const share = Number(text)
  if (share > 0 && share < 1) return share
  throw new UsageError(`--validation is ${text}; a share lies between 0 and 1, such as 0.1.`)
}

function sayEnd({ reason, best, last }: TrainEnd, { out, validation }: TrainValues, { say, style, graft }: Terminal): void {
  say()
  if (reason === 'stopped') {
    say(
      `Stopped after step ${last.step}; the checkpoint is in ${shownPath(join(out, 'checkpoints'))}. To go on, give the same command with --resume.`,
    )
    return
  }
  if (validation !== undefined) say(`The best expert is that of step ${best.step}, validation loss ${best.loss.toFixed(3)}.`)
  say(`expert      ${shownPath(out)}  (a PEFT folder)`)
  say(`loss curve  ${shownPath(join(out, 'loss.svg'))}`)
  say(`history     ${shownPath(join(out, 'history.jsonl'))}`)
  say()
  say('next:')
  for (const line of [
    `${graft} run "..." --adapter ${shownPath(out)}`,
    `${graft} chat --adapter ${shownPath(out)}`,
    `${graft} inspect ${shownPath(out)}`,
  ])
    say(`  ${style.accent(line)}`)
}

function summary({ reason, best, last, history }: TrainEnd, { out, data }: TrainValues) {
  const files = reason === 'finished' ? { adapter: out, lossCurve: join(out, 'loss.svg'), history: join(out, 'history.jsonl') } : {}
  return {
    reason,
    out,
    data,
    steps: last.step,
    best: { step: best.step, loss: best.loss },
    last: { step: last.step, loss: last.loss },
    firstLoss: history.steps[0]?.loss ?? null,
    validations: history.validations,
    checkpoints: join(out, 'checkpoints'),
    ...files,
  }
}
