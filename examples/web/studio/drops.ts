// Files that are chosen or dropped anywhere on the page, by what they are: examples, a base model, an
// adapter.

import { getElement } from '../shared/elements.ts'

export interface DropTakers {
  takeRows(file: File): Promise<void>
  takeModel(file: File): Promise<void>
  takeExpert(files: readonly File[]): Promise<void>
}

function takeFiles(files: readonly File[], takers: DropTakers): void {
  const [first] = files
  if (!first) return
  if (files.some(({ name }) => name === 'adapter_config.json' || name.endsWith('.safetensors')))
    void takers.takeExpert(files)
  else if (/\.gguf$/i.test(first.name)) void takers.takeModel(first)
  else void takers.takeRows(first)
}

export function listenToDrops(takers: DropTakers): void {
  const drop = getElement('drop', HTMLElement)
  for (const id of ['file', 'model-file']) {
    const input = getElement(id, HTMLInputElement)
    input.addEventListener('change', () => {
      takeFiles([...(input.files ?? [])], takers)
      input.value = '' // the same file may be chosen again
    })
  }
  document.addEventListener('dragover', (event) => {
    event.preventDefault()
    drop.classList.add('over')
  })
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) drop.classList.remove('over')
  })
  document.addEventListener('drop', (event) => {
    event.preventDefault()
    drop.classList.remove('over')
    takeFiles([...(event.dataTransfer?.files ?? [])], takers)
  })
}
