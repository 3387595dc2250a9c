// Graft Studio: drop a file of examples, see what was understood, teach an expert with the loss
// before your eyes, compare it with the base, correct it, export it as PEFT. All in this tab.

import { GraftStore, toPoints } from '../helper/store.ts'
import type { GraftState } from '../helper/state.ts'
import type { Rows, TeachSettings } from '../helper/protocol.ts'
import { drawCurve } from '../shared/curve.ts'
import { getElement } from '../shared/elements.ts'
import { exampleRows } from './example-rows.ts'
import { isSound, showCheck } from './data-panel.ts'
import { createExpertList } from './expert-list.ts'
import { listenToDrops } from './drops.ts'
import { createTalkPanel } from './talk-panel.ts'

/**
 * A name of the catalogue or of the hub is used unchanged; else it is an address relative to the
 * page.
 */
function findSource(): string {
  const given = new URLSearchParams(location.search).get('model')
  if (given !== null && !given.includes('/') && !given.endsWith('.gguf')) return given
  if (given?.startsWith('hf:')) return given
  // The server writes into the page which model it opens.
  const place = given ?? document.documentElement.dataset['model']!
  return new URL(place, document.baseURI).href
}

const graft = new GraftStore({ source: findSource(), sideBySide: true })
const showTurns = createTalkPanel(graft)
const showExperts = createExpertList(graft)
let rows: Rows | undefined

const getInput = (id: string): HTMLInputElement => getElement(id, HTMLInputElement)
const readNumber = (id: string): number => Number(getInput(id).value)

const readSettings = (): TeachSettings => ({
  steps: readNumber('steps'),
  rank: readNumber('rank'),
  learningRate: readNumber('rate'),
  maxTokens: readNumber('tokens'),
  heldBack: Number(getElement('held', HTMLSelectElement).value),
})

/** Checks rows, and proposes a name for what is taught with them. */
async function takeRows(taken: Rows, name: string): Promise<void> {
  rows = undefined
  await graft.check(taken, readNumber('tokens'))
  if (!graft.getState().check) return
  rows = taken
  getInput('name').value = makeName(name)
  show(graft.getState())
}

const makeName = (fileName: string): string =>
  fileName
    .toLowerCase()
    .replace(/\.[^]*$/, '')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 40) || 'my-expert'

function describeProgress({ progress, doing }: GraftState): string {
  const last = progress.at(-1)
  if (!last)
    return doing === 'teaching' ? 'Preparing…' : 'The loss of each step will be drawn here.'
  const held = progress.findLast(({ heldLoss }) => heldLoss !== undefined)?.heldLoss
  const rest = doing === 'teaching' ? `, ${Math.ceil(last.secondsLeft)} s left` : ''
  const heldText = held === undefined ? '' : `, held-back rows ${held.toFixed(3)} (dashed)`
  return `Step ${last.step} of ${last.steps}: loss ${last.loss.toFixed(3)}${heldText}${rest}`
}

function describeModel({ phase, share, model }: GraftState): string {
  if (phase === 'opening') return `Opening… ${share > 0 ? `${Math.round(100 * share)} %` : ''}`
  if (!model) return 'No model'
  return model.threads > 1 ? `${model.name} · ${model.threads} threads` : `${model.name} · 1 thread`
}

function show(state: GraftState): void {
  const { phase, check, progress, doing, problem, notice, share } = state
  const isFree = phase === 'ready' && doing === undefined
  getElement('model', HTMLElement).textContent = describeModel(state)
  const download = getElement('download', HTMLProgressElement)
  download.hidden = phase !== 'opening'
  download.value = share
  getElement('train', HTMLButtonElement).disabled = !isFree || !isSound(check) || !rows
  getElement('stop-training', HTMLButtonElement).disabled = doing !== 'teaching'
  getElement('send', HTMLButtonElement).disabled = !isFree
  getElement('stop', HTMLButtonElement).disabled = doing !== 'answering'
  setText('problem', problem)
  setText('notice', notice)
  setText('progress', describeProgress(state))
  if (check !== shownCheck) showCheck(check)
  shownCheck = check
  if (progress !== shownProgress) {
    const until = progress.at(-1)?.steps
    drawCurve(
      getElement('curve', SVGSVGElement),
      Object.assign(toPoints(progress), until !== undefined && { until }),
    )
  }
  shownProgress = progress
  showTurns(state.turns)
  showExperts(state)
}
let shownCheck: GraftState['check']
let shownProgress: GraftState['progress'] | undefined

/** Only what is new, because readers of the screen say it aloud. */
function setText(id: string, text: string): void {
  const element = getElement(id, HTMLElement)
  if (element.textContent !== text) element.textContent = text
}

graft.subscribe(() => show(graft.getState()))
listenToDrops({
  takeRows: (file) => takeRows(file, file.name),
  takeModel: (file) => graft.open(file),
  takeExpert: (files) => graft.add(makeName(getInput('name').value), files),
})
getElement('example', HTMLButtonElement).addEventListener('click', () => {
  void takeRows(exampleRows, 'cat-stories')
})
getElement('teach', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  if (rows) void graft.teach({ name: getInput('name').value, rows, settings: readSettings() })
})
getElement('stop-training', HTMLButtonElement).addEventListener('click', () => graft.stop())
getElement('stop', HTMLButtonElement).addEventListener('click', () => graft.stop())

const prompt = getElement('prompt', HTMLTextAreaElement)
getElement('ask', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  if (getElement('send', HTMLButtonElement).disabled || prompt.value === '') return
  const text = prompt.value
  prompt.value = ''
  void graft.ask(text)
})
prompt.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') graft.stop()
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  getElement('ask', HTMLFormElement).requestSubmit()
})

const theme = getElement('theme', HTMLSelectElement)
theme.value = localStorage.getItem('graft-theme') ?? ''
const applyTheme = (): void => {
  if (theme.value === '') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = theme.value
}
theme.addEventListener('change', () => {
  localStorage.setItem('graft-theme', theme.value)
  applyTheme()
})
applyTheme()
show(graft.getState())
await graft.open()
const note = document.documentElement.dataset['note'] ?? ''
if (note !== '') setText('notice', note)
