// Reads OpenTelemetry's environment variables for spans over OTLP/HTTP in JSON.
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/

import { OptionError } from '../../base/errors.ts'

export interface TraceSettings {
  /** The URL that spans are posted to. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly resource: Readonly<Record<string, string>>
}

type Variables = Readonly<Record<string, string | undefined>>

/**
 * undefined if no endpoint is set or spans are switched off. Throws OptionError for wrong values.
 */
export function readTraceSettings(variables: Variables): TraceSettings | undefined {
  const own = variables['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']
  const common = variables['OTEL_EXPORTER_OTLP_ENDPOINT']
  if (!own && !common) return undefined
  if (variables['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return undefined
  if (variables['OTEL_TRACES_EXPORTER'] === 'none') return undefined
  const url = own || `${common!.replace(/\/+$/, '')}/v1/traces`
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new OptionError(
      `OTEL_EXPORTER_OTLP_ENDPOINT: got ${JSON.stringify(own || common)}, expected a URL such as http://localhost:4318.`,
    )
  checkProtocol(variables)
  const headers =
    variables['OTEL_EXPORTER_OTLP_TRACES_HEADERS'] || variables['OTEL_EXPORTER_OTLP_HEADERS']
  const resource = parsePairs('OTEL_RESOURCE_ATTRIBUTES', variables['OTEL_RESOURCE_ATTRIBUTES'])
  const service = variables['OTEL_SERVICE_NAME'] || resource['service.name'] || 'graft'
  return {
    url,
    headers: parsePairs('OTEL_EXPORTER_OTLP_HEADERS', headers),
    resource: Object.assign({}, resource, { 'service.name': service }),
  }
}

/** Collectors accept JSON wherever they accept Protobuf over HTTP, but not over gRPC. */
function checkProtocol(variables: Variables): void {
  const protocol =
    variables['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || variables['OTEL_EXPORTER_OTLP_PROTOCOL']
  if (!protocol || protocol === 'http/json' || protocol === 'http/protobuf') return
  throw new OptionError(
    `OTEL_EXPORTER_OTLP_PROTOCOL: got ${JSON.stringify(protocol)}; spans are sent as http/json. Set http/json, and the collector's HTTP port, usually 4318.`,
  )
}

/** 'a=1,b=2', with percent encoding. */
function parsePairs(name: string, text = ''): Record<string, string> {
  const pairs = text.split(',').filter((pair) => pair.trim() !== '')
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1)
        throw new OptionError(`${name}: got ${JSON.stringify(pair)}, expected name=value,….`)
      return [pair.slice(0, at).trim(), decodeValue(pair.slice(at + 1).trim())]
    }),
  )
}

function decodeValue(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
