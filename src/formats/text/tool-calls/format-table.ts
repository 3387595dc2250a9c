// The formats of tool calls, in the order in which a model's template is asked for them.

import { OptionError } from '../../../base/errors.ts'
import { findNearestName } from '../../../base/suggest.ts'
import type { ChatTemplate } from '../chat-template.ts'
import { deepseek, deepseekNamed } from './formats/deepseek.ts'
import { dsml } from './formats/dsml.ts'
import { gemma } from './formats/gemma.ts'
import { functionGemma, gemma4 } from './formats/gemma-call.ts'
import { generic } from './formats/generic.ts'
import { glm } from './formats/glm.ts'
import { granite } from './formats/granite.ts'
import { harmony } from './formats/harmony.ts'
import { hermes } from './formats/hermes.ts'
import { lfm2 } from './formats/lfm2.ts'
import { llama } from './formats/llama.ts'
import { mistral, mistralArgs } from './formats/mistral.ts'
import { qwenCoder } from './formats/qwen-coder.ts'
import { smollm3 } from './formats/smollm3.ts'
import type { ToolCallFormat } from './tool-call-format.ts'

export const toolCallFormats: readonly ToolCallFormat[] = [
  harmony,
  dsml,
  deepseekNamed,
  deepseek,
  glm,
  smollm3,
  lfm2,
  qwenCoder,
  functionGemma,
  gemma4,
  mistralArgs,
  mistral,
  granite,
  hermes,
  llama,
  gemma,
  generic,
]

/** The text of the template that is used when tools are given. */
export function getToolTemplate(template: ChatTemplate | undefined): string {
  if (template === undefined || typeof template === 'string') return template ?? ''
  return template['tool_use'] ?? template['default'] ?? ''
}

/** The format that a model's template and tokens speak for; 'generic' where they are silent. */
export function detectToolCallFormat(
  template: ChatTemplate | undefined,
  hasToken: (token: string) => boolean = () => false,
): ToolCallFormat {
  const evidence = { template: getToolTemplate(template), hasToken }
  return toolCallFormats.find((format) => format.isUsedBy(evidence)) ?? generic
}

/** The format of this name. Throws OptionError if there is none. */
export function getToolCallFormat(name: string): ToolCallFormat {
  const found = toolCallFormats.find((format) => format.name === name)
  if (found) return found
  const names = toolCallFormats.map((format) => format.name)
  const meant = findNearestName(name, names)
  throw new OptionError(
    `There is no format of tool calls named ${JSON.stringify(name)}${meant === undefined ? `; there are ${names.join(', ')}` : `. Did you mean ${JSON.stringify(meant)}?`}`,
  )
}
