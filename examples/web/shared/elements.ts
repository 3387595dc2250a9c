// What every page needs of the DOM: elements by their id, text that is never read as HTML, and
// errors shown in one place. Independent of models.

/** The element with this id. Throws where the page has none, or one of another type. */
export function getElement<Type extends Element>(id: string, type: new () => Type): Type {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`#${id}: the page has no ${type.name} of this id.`)
  return found
}

/** A new element with text in it. The text is data: a tag in it shows as it is written. */
export function createElement<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className = '',
  ...content: readonly (string | Node)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name)
  if (className !== '') element.className = className
  element.append(...content)
  return element
}

/** A symbol of the page's own, `#icon-good`. */
export function createIcon(name: string): SVGSVGElement {
  const namespace = 'http://www.w3.org/2000/svg'
  const icon = document.createElementNS(namespace, 'svg')
  icon.setAttribute('class', 'icon')
  icon.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS(namespace, 'use')
  use.setAttribute('href', `#icon-${name}`)
  icon.append(use)
  return icon
}

const describeError = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** Runs what a click asks for; errors are shown in #problem, which is emptied before. */
export async function runAction(work: () => unknown): Promise<void> {
  const problem = getElement('problem', HTMLElement)
  problem.textContent = ''
  try {
    await work()
  } catch (error) {
    problem.textContent = describeError(error)
  }
}

/** Does the same at every click; the button rests while it works. */
export function listenToClicks(id: string, work: () => unknown): void {
  const button = getElement(id, HTMLButtonElement)
  button.addEventListener('click', () => {
    button.disabled = true
    void runAction(work).finally(() => {
      button.disabled = false
    })
  })
}

/** Lets the browser draw, and answer clicks, between two pieces of work. */
export const waitForFrame = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))

/** Hands the user a file. */
export function saveFile(name: string, content: Blob): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(content)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
