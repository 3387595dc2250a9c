// --rope-scaling yarn:4: a longer context than the model was trained on.

import { string } from '../../base/schema.ts'
import { type RopeScalingOptions, ropeScalingField } from '../../graph/models/rope-scaling.ts'
import { checkValue, type Options, toOption, UsageError } from '../command.ts'

const name = 'rope-scaling'

export const ropeScalingOption = {
  [name]: toOption(
    string({
      about:
        'reads a longer context than the model was trained on: linear, dynamic, yarn, llama3 or longrope, and how many times longer',
    }),
    { valueName: 'type:factor' },
  ),
} as const satisfies Options

/** 'yarn:4' as options of loadModel; 'longrope' alone takes the context of the model's config. */
export function parseRopeScaling(text: string | undefined): RopeScalingOptions | undefined {
  if (text === undefined) return undefined
  const [type, factor, ...rest] = text.split(':')
  const isWhole = rest.length === 0 && (type === 'longrope' || factor !== undefined)
  if (!isWhole || factor === '')
    throw new UsageError(
      `--${name}: got ${JSON.stringify(text)}, expected a type and a factor, such as yarn:4.`,
    )
  const scaling = { type, ...(factor !== undefined && { factor: Number(factor) }) }
  checkValue(ropeScalingField, scaling, `--${name}`)
  return scaling as RopeScalingOptions
}
