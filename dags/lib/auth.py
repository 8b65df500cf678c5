"""Who may do what in Airflow: its simple users, and a steward who decides and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from dags.lib.defaults import STEWARDS

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

ANSWERS = {steward["id"] for steward in STEWARDS}


class HubAuthManager(SimpleAuthManager):
    """A steward has the rights of the role that ``jobs.serve.airflow`` gives (a viewer's), and may answer a question.

    Of Airflow's own roles only those that also start runs and edit pools or connections may answer one. Whom a question
    asks (``assigned_users``) is checked by Airflow beside this.
    """

    def is_authorized_dag(
        self,
        *,
        method: ResourceMethod,
        user: SimpleAuthManagerUser,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        if access_entity is DagAccessEntity.HITL_DETAIL and method == "PUT" and user.get_id() in ANSWERS:
            method = "GET"
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
