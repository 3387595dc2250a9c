// The experts of this browser: one is chosen to answer, each can be exported and removed, an
// interrupted training can resume.

import { createElement, getElement, saveFile } from '../shared/elements.ts'
import { createZip } from '../shared/zip.ts'
import type { GraftState } from '../helper/state.ts'
import type { GraftStore } from '../helper/store.ts'

async function exportExpert(graft: GraftStore, name: string): Promise<void> {
  const files = await graft.exportFiles(name)
  if (files) saveFile(`${name}.zip`, createZip(files))
}

function createChoice(
  value: string,
  text: string,
  isChosen: boolean,
  choose: () => void,
): HTMLLabelElement {
  const radio = createElement('input')
  radio.type = 'radio'
  radio.name = 'expert'
  radio.value = value
  radio.checked = isChosen
  radio.addEventListener('change', choose)
  return createElement('label', '', radio, createElement('span', '', text))
}

function createButton(text: string, about: string, work: () => void): HTMLButtonElement {
  const button = createElement('button', 'slim', text)
  button.type = 'button'
  button.setAttribute('aria-label', about)
  button.addEventListener('click', work)
  return button
}

function createRow(
  graft: GraftStore,
  name: string,
  { experts, expert, doing }: GraftState,
): HTMLElement {
  const isUnfinished = experts.some((one) => one.name === name && one.state === 'unfinished')
  const row = createElement('div', 'expert')
  if (isUnfinished) {
    const goOn = createButton('Go on', `Go on teaching ${name}`, () => void graft.teach({ name }))
    goOn.disabled = doing !== undefined
    row.append(createElement('span', 'grow', `${name}, not finished`), goOn)
  } else
    row.append(
      createChoice(name, name, expert === name, () => graft.choose(name)),
      createButton('Export', `Export ${name} as PEFT`, () => void exportExpert(graft, name)),
    )
  row.append(
    createButton('Remove', `Remove ${name}`, () => {
      if (confirm(`Remove ${name} from this browser? It cannot be had back.`))
        void graft.remove(name)
    }),
  )
  return row
}

/** Draws the list anew where experts, the choice or what runs has changed. */
export function createExpertList(graft: GraftStore): (state: GraftState) => void {
  const place = getElement('experts', HTMLElement)
  let before: readonly unknown[] = []
  return (state) => {
    const parts = [state.experts, state.expert, state.doing]
    if (parts.every((part, i) => part === before[i])) return
    before = parts
    const focused = document.activeElement
    const label = place.contains(focused) ? describeFocus(focused) : undefined
    const none = createElement(
      'div',
      'expert',
      createChoice('', 'None: the base with what you taught', state.expert === '', () =>
        graft.choose(''),
      ),
      createButton(
        'Forget',
        'Forget what thumbs and corrections taught here',
        () => void graft.forget(state.expert),
      ),
    )
    place.replaceChildren(none, ...state.experts.map(({ name }) => createRow(graft, name, state)))
    for (const element of place.querySelectorAll<HTMLElement>('input, button'))
      if (label !== undefined && describeFocus(element) === label) element.focus()
  }
}

/** The same text for the same control after it was drawn anew. */
const describeFocus = (element: Element | null): string =>
  element instanceof HTMLInputElement
    ? `choice ${element.value}`
    : (element?.getAttribute('aria-label') ?? '')
