// The conversation: base and expert side by side, thumbs, and a correction in place. What a model
// writes is shown as text.

import { createElement, createIcon, getElement } from '../shared/elements.ts'
import type { ShownAnswer, ShownTurn } from '../helper/state.ts'
import type { GraftStore } from '../helper/store.ts'

interface TurnView {
  readonly element: HTMLElement
  readonly sides: ReadonlyMap<'base' | 'answer', SideView>
  shown: ShownTurn | undefined
}

interface SideView {
  readonly text: HTMLElement
  readonly speed: HTMLElement
}

type Judge = (turn: ShownTurn) => HTMLElement

function createButton(icon: string, text: string, onClick: () => void): HTMLButtonElement {
  const button = createElement('button', 'slim', createIcon(icon), text)
  button.type = 'button'
  button.addEventListener('click', onClick)
  return button
}

/** The form of a correction: begins with the answer, because most of it is often right. */
function createCorrection(
  answer: string,
  save: (text: string) => void,
  cancel: () => void,
): HTMLFormElement {
  const form = createElement('form', 'correction')
  const field = createElement('textarea')
  field.rows = 3
  field.required = true
  field.value = answer
  const label = createElement('label', '', 'What it should have said', field)
  const buttons = createElement('div', 'row', createElement('button', 'primary slim', 'Teach this'))
  const back = createElement('button', 'slim', 'Cancel')
  back.type = 'button'
  back.addEventListener('click', cancel)
  buttons.append(back)
  form.append(label, buttons)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    save(field.value)
  })
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') cancel()
  })
  requestAnimationFrame(() => {
    field.focus()
    form.scrollIntoView({ block: 'nearest' })
  })
  return form
}

/** Thumbs and a correction for one answer. */
function createJudging(graft: GraftStore): Judge {
  return (turn) => {
    const row = createElement('div', 'judge')
    const place = createElement('div', '')
    const good = createButton('good', 'Good', () => void graft.judge(turn, true))
    const bad = createButton('bad', 'Bad', () => void graft.judge(turn, false))
    const correct = createButton('correct', 'Correct', () => {
      if (place.hasChildNodes()) return close()
      correct.setAttribute('aria-expanded', 'true')
      place.append(
        createCorrection(
          turn.answer?.text ?? '',
          (text) => {
            close()
            void graft.correct(turn, text)
          },
          close,
        ),
      )
    })
    correct.setAttribute('aria-expanded', 'false')
    function close(): void {
      place.replaceChildren()
      correct.setAttribute('aria-expanded', 'false')
      correct.focus()
    }
    row.append(good, bad, correct)
    return createElement('div', '', row, place)
  }
}

function createSide(
  title: string,
  className: string,
): SideView & { readonly element: HTMLElement } {
  const speed = createElement('span', 'speed')
  const text = createElement('p', 'answer')
  const element = createElement('article', `answered ${className}`)
  element.append(createElement('h3', '', createElement('span', '', title), speed), text)
  return { element, text, speed }
}

function createTurnView({ prompt, expert }: ShownTurn): TurnView {
  const base = createSide('Base', '')
  const answer = createSide(expert === '' ? 'Base with what you taught' : expert, 'taught')
  const element = createElement(
    'div',
    'turn',
    createElement('p', 'prompt', prompt),
    createElement('div', 'sides', base.element, answer.element),
  )
  return {
    element,
    sides: new Map([
      ['base', base],
      ['answer', answer],
    ]),
    shown: undefined,
  }
}

function showAnswer({ text, speed }: SideView, answer: ShownAnswer | undefined): void {
  text.textContent = answer?.text ?? ''
  text.classList.toggle('writing', answer !== undefined && !answer.isWhole)
  speed.textContent =
    answer?.tokensPerSecond === undefined ? '' : `${answer.tokensPerSecond.toFixed(0)} tokens/s`
}

/** Marks the button of the judgement that was given; it can be given once. */
function showJudgement(view: TurnView, turn: ShownTurn, createJudge: Judge): void {
  const { answer } = turn
  if (answer?.turn === undefined) return
  const side = view.element.querySelector('.taught')!
  if (!side.querySelector('.judge')) side.append(createJudge(turn))
  const names = ['good', 'bad', 'corrected']
  for (const [i, button] of [...side.querySelectorAll('.judge button')].entries()) {
    if (!(button instanceof HTMLButtonElement)) continue
    button.setAttribute('aria-pressed', String(answer.judgement === names[i]))
    button.disabled = answer.judgement !== undefined && answer.judgement !== names[i]
  }
}

/** Draws what is new of the turns, and leaves the rest, where somebody may be typing. */
export function createTalkPanel(graft: GraftStore): (turns: readonly ShownTurn[]) => void {
  const list = getElement('turns', HTMLElement)
  const empty = getElement('empty', HTMLElement)
  const views = new Map<number, TurnView>()
  const createJudge = createJudging(graft)
  return (turns) => {
    for (const [id, { element }] of views)
      if (!turns.some((turn) => turn.id === id)) {
        element.remove()
        views.delete(id)
      }
    empty.hidden = turns.length > 0
    for (const turn of turns) {
      const isNew = !views.has(turn.id)
      const view = views.get(turn.id) ?? createTurnView(turn)
      if (isNew) {
        views.set(turn.id, view)
        list.append(view.element)
      }
      if (view.shown === turn) continue
      view.shown = turn
      const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80
      for (const [side, parts] of view.sides) showAnswer(parts, turn[side])
      showJudgement(view, turn, createJudge)
      if (isNew || isAtEnd) list.scrollTop = list.scrollHeight
    }
  }
}
