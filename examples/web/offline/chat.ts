// A chat that learns from corrections and thumbs and works without a network: service worker for
// the page, the browser's file system for the model, IndexedDB for what was learned.

import { createLearner, loadModel, openIndexedDbStore } from 'graftlm/web'
import { createElement, getElement, runAction } from '../shared/elements.ts'

const user = 'me'
const announce = (text: string): void => {
  getElement('state', HTMLOutputElement).textContent = text
}

type Manifest = Readonly<Record<string, ManifestEntry>>
interface ManifestEntry {
  readonly file: string
  readonly imports?: readonly string[]
  readonly dynamicImports?: readonly string[]
  readonly css?: readonly string[]
  readonly assets?: readonly string[]
}

/**
 * The files of this page by Vite's manifest, those too that are loaded when they are first needed.
 */
async function listFiles(): Promise<string[]> {
  const response = await fetch(new URL('../assets/manifest.json', document.baseURI))
  if (!response.ok) return []
  const manifest = (await response.json()) as Manifest
  const found = new Set<string>()
  const seen = new Set<string>()
  const visit = (key: string): void => {
    const entry = manifest[key]
    if (!entry || seen.has(key)) return
    seen.add(key)
    for (const file of [entry.file, ...(entry.css ?? []), ...(entry.assets ?? [])]) found.add(file)
    for (const other of [...(entry.imports ?? []), ...(entry.dynamicImports ?? [])]) visit(other)
  }
  visit('offline/index.html')
  return [...found].map((file) => new URL(`../${file}`, document.baseURI).href)
}

/** Keeps every file of this page; resolves when they are kept. */
async function keepForOffline(): Promise<boolean> {
  if (!('serviceWorker' in navigator)) return false
  await navigator.serviceWorker.register(new URL('./service-worker.js', document.baseURI))
  const { active } = await navigator.serviceWorker.ready
  const { port1, port2 } = new MessageChannel()
  const answered = new Promise((resolve) => {
    port1.addEventListener('message', ({ data }) => resolve(data))
  })
  port1.start()
  const page = document.baseURI.split('#')[0]!
  const beside = ['../icon.svg', './app.webmanifest'].map((file) => new URL(file, page).href)
  active!.postMessage({ keep: [page, ...beside, ...(await listFiles())] }, [port2])
  return (await answered) === 'kept'
}

const given = new URLSearchParams(location.search).get('model')
const model = await loadModel(given ?? new URL('../models/stories260k/', document.baseURI).href)
const store = await openIndexedDbStore('graft-offline-chat')
const learner = createLearner({ model, store })
let turn: number | undefined

async function describeLearned(): Promise<string> {
  const { learned } = await learner.statistics(user)
  return `learned from ${learned} turns`
}

async function answerPrompt(prompt: string): Promise<void> {
  const text = createElement('p', 'answer')
  getElement('turns', HTMLElement).append(createElement('p', 'quiet', prompt), text)
  const asked = model.base.chatTemplate ? [{ role: 'user', content: prompt }] : prompt
  for await (const event of learner.generate(asked, { user, maxTokens: 24, temperature: 0 })) {
    if (event.type === 'text-delta') text.append(event.text)
    if (event.type === 'generation-end')
      getElement('right', HTMLInputElement).value = event.text.trim()
    if (event.type === 'turn-end') turn = event.turn
  }
  getElement('correct', HTMLFormElement).hidden = false
}

/** Learns from the last answer, once, and keeps it. */
async function learn(work: (turn: number) => Promise<unknown>): Promise<void> {
  if (turn === undefined) return
  await work(turn)
  await learner.flush()
  turn = undefined
  getElement('correct', HTMLFormElement).hidden = true
  announce(await describeLearned())
}

const listenToForm = (id: string, work: () => Promise<void>): void =>
  getElement(id, HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault()
    void runAction(work)
  })
listenToForm('ask', () => answerPrompt(getElement('prompt', HTMLInputElement).value))
listenToForm('correct', () => {
  const completion = ` ${getElement('right', HTMLInputElement).value.trim()}`
  return learn((at) => learner.correct({ user, turn: at, completion }))
})
for (const feedback of ['up', 'down'] as const)
  getElement(feedback, HTMLButtonElement).addEventListener('click', () => {
    void runAction(() => learn((at) => learner.feedback({ user, turn: at, feedback })))
  })
getElement('send', HTMLButtonElement).disabled = false
await runAction(async () => {
  const isKept = navigator.onLine ? await keepForOffline() : true
  announce(`${isKept ? 'ready without a network' : 'ready'}; ${await describeLearned()}`)
})
