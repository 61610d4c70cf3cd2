/** Who does a thing: the identity of a request, and the services that tell it. */

export {
  type DescribeIdentity,
  describeIdentities,
  enrichedIdentity,
  type Identity,
  identityInterceptor,
  identityOf,
  LOCAL_SUBJECT,
  localIdentity,
} from "./identity.ts";
export { identityService, openAuthMetadataService } from "./service.ts";
