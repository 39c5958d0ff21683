"""The permissions of core/roles.py as sentences, for the page of grants."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

WORDS: dict[str, Any] = {
    "overview.view": _("See the overview"),
    "account.own": _("Look after one's own password, second factors and sessions"),
    "submission.view": _("Read submissions with their findings"),
    "user.view": _("See users, with numbers masked"),
    "feature.view": _("See the feature library"),
    "policy.view": _("See the policies"),
    "rumor.view": _("See rumor cases"),
    "report.view": _("See reports and fetch bundles"),
    "staff.view": _("See colleagues, API clients and webhooks"),
    "settings.view": _("See gates and settings"),
    "metrics.view": _("Read the metrics"),
    "review.work": _("Decide items at the review desk"),
    "review.senior": _("Decide what was passed to a senior"),
    "feature.propose": _("Propose features"),
    "feature.approve": _("Approve features that somebody else proposed"),
    "identity.decide": _("Verify or reject identities"),
    "identity.overturn": _("Agree as the second person that a rejected identity is verified"),
    "user.import": _("Import an existing user base"),
    "guardian.record": _("Record the consent of a guardian"),
    "person_request.view": _("See requests about personal data"),
    "person_request.work": _("Answer requests about personal data"),
    "appeal.view": _("See appeals"),
    "appeal.decide": _("Decide appeals against somebody else's decision"),
    "document.view": _("See rules and agreements with their versions"),
    "document.publish": _("Publish rules and agreements"),
    "reveal.review": _("Look at who had numbers shown in the clear, and why"),
    "alarm.see": _("See alarms and say that one looked"),
    "glass.view": _("See emergencies, and end one"),
    "glass.break": _("Take emergency rights"),
    "glass.review": _("Review what somebody else did in an emergency"),
    "honey.plant": _("Plant honey records"),
    "measure.apply": _("Put measures on accounts"),
    "measure.close": _("Close accounts of users"),
    "measure.lift": _("Lift measures"),
    "rumor.open": _("Open rumor cases"),
    "rumor.work": _("Work on rumor cases and publish refutations"),
    "report.make": _("Make reports and bundles"),
    "gate.operate": _("Close and open gates"),
    "client.manage": _("Manage API clients and their keys"),
    "webhook.manage": _("Manage webhook addresses"),
    "staff.manage": _("Invite colleagues, change roles, close accounts"),
    "job.retry": _("Retry or drop stopped jobs"),
}
