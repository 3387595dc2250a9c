// The worker with the model of a page, so that the page stays responsive while it computes. A page
// starts it with `openGraft()` of client.ts.

import {
  checkData,
  importAdapter,
  loadModel,
  readDataFile,
  saveAdapter,
  train,
  type WebModel,
} from 'graftlm/web'
import { serveCalls } from './calls.ts'
import {
  dropTraining,
  exportExpert,
  getPlace,
  keepTraining,
  listExperts,
  openTraining,
  removeExpert,
} from './expert-shelf.ts'
import type { GraftCalls, Rows, TeachProgress, TeachRequest, TeachResult } from './protocol.ts'
import { createTalk, type Talk } from './talk.ts'

interface Opened {
  readonly model: WebModel
  readonly talk: Talk
}
let opened: Opened | undefined

function getOpened(): Opened {
  if (!opened) throw new Error('No base model is open.')
  return opened
}

/** Rows in memory as a file, so that they can be kept and read like others. */
const toFile = (rows: Rows): File =>
  rows instanceof File
    ? rows
    : new File([rows.map((row) => `${JSON.stringify(row)}\n`).join('')], 'rows.jsonl')

async function trainExpert(
  { name, rows, settings }: TeachRequest,
  tell: (progress: TeachProgress) => void,
  signal: AbortSignal,
): Promise<TeachResult> {
  const { model, talk } = getOpened()
  const out = getPlace(name)
  if (rows && settings) await keepTraining(name, toFile(rows), settings)
  const kept = await openTraining(name)
  const { steps, rank, learningRate, maxTokens, heldBack } = kept.settings
  const run = train({
    model,
    data: kept.rows,
    adapter: { kind: 'lora', config: { rank, alpha: 2 * rank, targets: 'all-linear' } },
    steps,
    learningRate,
    maxTokens,
    ...(heldBack > 0 && {
      validation: { data: heldBack, everySteps: Math.max(1, Math.round(steps / 8)) },
    }),
    seed: 1,
    signal,
    out,
    ...(rows ? { overwrite: true } : { resume: 'auto' as const }),
  })
  let last: TeachProgress | undefined
  for await (const event of run) {
    if (event.type === 'step-end') {
      const { step, loss, secondsLeft } = event
      last = { step, steps: event.steps, loss, secondsLeft }
      tell(last)
    }
    if (event.type === 'validation-end' && last)
      tell({
        step: last.step,
        steps: last.steps,
        loss: last.loss,
        secondsLeft: last.secondsLeft,
        heldLoss: event.loss,
      })
    if (event.type === 'train-end') {
      if (event.reason !== 'stopped') await dropTraining(name)
      await talk.renew(name)
      return { name, steps: event.last.step, loss: event.best.loss, reason: event.reason }
    }
  }
  throw new Error('A training ends with the event train-end.')
}

serveCalls<GraftCalls>(self as never, {
  async open({ source }, tell, signal) {
    const model = await loadModel(source, {
      signal,
      onProgress: ({ receivedBytes, totalBytes }) => {
        if (totalBytes !== undefined && totalBytes > 0) tell(receivedBytes / totalBytes)
      },
    })
    const before = opened
    opened = { model, talk: createTalk(model) }
    await before?.talk.close()
    await before?.model.dispose()
    return {
      name: model.source,
      isChat: model.base.chatTemplate !== undefined,
      contextTokens: model.config.maxPositions,
      threads: self.crossOriginIsolated ? navigator.hardwareConcurrency : 1,
    }
  },
  async check({ rows, maxTokens }) {
    const { base } = getOpened().model
    const { tokenizer, chatTemplate, name } = base
    const encoding = tokenizer && {
      model: name,
      tokenizer,
      maxTokens,
      ...(chatTemplate && { chatTemplate }),
    }
    const data = await readDataFile(toFile(rows))
    return checkData(data, { samples: 3, ...(encoding && { encoding }) })
  },
  teach: trainExpert,
  experts: listExperts,
  async addExpert({ name, files }) {
    const { model, talk } = getOpened()
    const place = getPlace(name)
    const contents = files.map(
      async (file) => [file.name, new Uint8Array(await file.arrayBuffer())] as const,
    )
    const adapter = await importAdapter(new Map(await Promise.all(contents)), { model })
    await model.prepare(adapter) // refuses one that was made for another base
    await saveAdapter(adapter, place)
    await talk.renew(name)
    return { name, state: 'ready' }
  },
  exportExpert: ({ name }) => exportExpert(name),
  async removeExpert({ name }) {
    await getOpened().talk.forget(name)
    await removeExpert(name)
  },
  answer: (request, tell, signal) => getOpened().talk.answer(request, tell, signal),
  judge: (request) => getOpened().talk.judge(request),
  correct: (request) => getOpened().talk.correct(request),
  forget: ({ expert }) => getOpened().talk.forget(expert),
})
